/** Roots in the instance store as they were at one instant, for the bundles that are made of them. */
import { existsSync } from 'node:fs'
import { limits } from '../../lib/limits.ts'
import { OperationFailure } from '../../operations/operation.ts'
import type { InstanceDisk } from '../../state/instance-disks.ts'
import type { CloudDeps } from '../deps.ts'
import type { CaptureSource } from '../ports.ts'
import { baseFile, type InstanceDisks, rootName } from './instance-disks.ts'
import { layersOfRoot, nextLayer } from './root-layers.ts'

export interface FrozenRoot {
  source: CaptureSource
  sizeBytes: number
  close(): Promise<void>
}

export class FrozenRoots {
  readonly #deps: CloudDeps
  readonly #disks: InstanceDisks

  constructor(deps: CloudDeps, disks: InstanceDisks) {
    this.#deps = deps
    this.#disks = disks
  }

  /**
   * Freezes the root of a running instance for that task, and the guest goes on. Asking again for the same task changes
   * nothing. Throws OperationFailure when the instance runs no more, or was bundled too often.
   */
  async freeze(instanceId: string, taskId: string): Promise<void> {
    const { machines, disks, locks, quiescesGuests, log } = this.#deps
    await locks.hold(instanceId, async () => {
      const root = await this.#rootOf(instanceId)
      const folder = this.#disks.folderOf(instanceId)
      const layers = await layersOfRoot(folder)
      const layer = layers.find((one) => one.taskId === taskId) ?? nextLayer(folder, layers, taskId)
      if (layers.length >= limits.rootLayers && !layers.includes(layer)) {
        throw new OperationFailure(
          `the instance ${instanceId} was bundled ${layers.length - 1} times already: bundle one that is launched of its last bundle`,
        )
      }
      if ((await machines.inspect(instanceId)).state === 'absent') throw gone(instanceId)
      if (!existsSync(layer.path)) await disks.createLayer(layer.path, root.sizeBytes, null)
      const top = { volumeId: root.id, newLayerPath: layer.path }
      const { quiesced } = await machines.freeze(instanceId, [top], { quiesce: quiescesGuests })
      log.info({ instance: instanceId, quiesced }, 'the root was frozen for a bundle')
    })
  }

  /** The root as it was frozen, served read-only. Throws OperationFailure when it is gone. */
  async open(instanceId: string, taskId: string): Promise<FrozenRoot> {
    const { sizeBytes } = await this.#rootOf(instanceId)
    const folder = this.#disks.folderOf(instanceId)
    const layers = await layersOfRoot(folder)
    const top = layers.findIndex((layer) => layer.taskId === taskId)
    const frozen = layers.slice(0, top).map(({ path }) => path)
    const base = { path: `${folder}/${baseFile}` }
    if (top < 1 || [base.path, ...frozen].some((path) => !existsSync(path))) throw gone(instanceId)
    const source = await this.#deps.disks.openForReading({ base, layers: frozen, key: null }, sizeBytes)
    return { source, sizeBytes, close: () => source.close() }
  }

  async #rootOf(instanceId: string): Promise<InstanceDisk> {
    const rows = await this.#deps.state.instanceDisks.of([instanceId])
    const root = rows.find(({ virtualName }) => virtualName === rootName)
    if (root) return root
    throw gone(instanceId)
  }
}

const gone = (instanceId: string) =>
  new OperationFailure(`the instance ${instanceId} runs no more, and its root is gone`)
