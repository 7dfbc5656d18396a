/** What DescribeVolumeStatus tells: whether guests can read and write their volumes. */
import { KilnError } from '../../lib/errors.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { MachineStatus } from '../ports.ts'
import { type Initialization, initializationOf } from './initialization.ts'
import type { Volumes, VolumeView } from './volumes.ts'

export interface VolumeStatus {
  volume: VolumeView
  status: 'ok' | 'impaired' | 'insufficient-data'
  /** What keeps the guest from its disk, for people. */
  reason: string | null
  initialization: Initialization | null
}

export class VolumeStatuses {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
  }

  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<VolumeStatus>> {
    const page = await this.#volumes.list(scope, request)
    const holders = new Set(page.items.flatMap((volume) => volume.attachments.map((row) => row.instanceId)))
    const machines = new Map(
      await Promise.all([...holders].map(async (id) => [id, await this.#deps.machines.inspect(id)] as const)),
    )
    const items = page.items.map(async (volume) => ({
      ...{ volume, ...statusOf(volume, machines) },
      initialization: await initializationOf(this.#deps, volume),
    }))
    return { ...page, items: await Promise.all(items) }
  }

  /** For a volume whose guest was halted: it goes on where it was, once the host is well again. */
  async enableIo(scope: Scope, volumeId: string): Promise<void> {
    const volume = await this.#volumes.get(scope, volumeId)
    if (volume.state !== 'available' && volume.state !== 'in-use') {
      throw new KilnError('IncorrectState', `Volume '${volumeId}' is '${volume.state}'.`)
    }
  }

  async setAutoEnableIo(scope: Scope, volumeId: string, isOn: boolean): Promise<void> {
    await this.#volumes.get(scope, volumeId)
    await this.#deps.state.volumes.update(volumeId, { autoEnableIo: isOn ? 1 : 0 })
  }
}

function statusOf(
  volume: VolumeView,
  machines: ReadonlyMap<string, MachineStatus>,
): Pick<VolumeStatus, 'status' | 'reason'> {
  if (volume.state === 'creating') return { status: 'insufficient-data', reason: null }
  if (volume.state === 'error') return { status: 'impaired', reason: 'the volume could not be made' }
  for (const { instanceId } of volume.attachments) {
    const machine = machines.get(instanceId)
    if (machine?.state === 'paused') return { status: 'impaired', reason: machine.reason }
  }
  return { status: 'ok', reason: null }
}
