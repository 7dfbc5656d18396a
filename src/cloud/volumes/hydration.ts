/**
 * Hydration: the rest of the snapshot under a volume is fetched into a file of this host, and from then on the volume
 * needs no snapshot and no block server. It begins some time after the volume was made, because a guest that boots has
 * better use for the disk; whoever cannot wait asks for it. Volumes of one snapshot share that file.
 */
import { messageOf } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Volume } from '../../state/volumes.ts'
import type { CloudDeps } from '../deps.ts'
import { hydrateKind, isHydration } from './initialization.ts'
import type { Volumes } from './volumes.ts'

/** What one pass of the reconciler asks for; the next one asks for more. */
const perPass = 20
/** The share of the disk that stays free for guests: of what is fetched unasked, and of what somebody asks for. */
const [unaskedReserve, askedReserve] = [1 / 10, 1 / 100]

export class Hydration {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
    deps.operations.register(hydrateOperation(deps, volumes))
  }

  /** One pass: volumes that are old enough and still lazy, as long as the disk has room. */
  async hydrateDue(): Promise<void> {
    const { state, clock, timing, machines, blocks, log } = this.#deps
    // No guest ever reads what simulated machines have.
    if (machines.kind === 'simulated') return
    for (const volume of await state.volumes.notHydrated(clock.now() - timing.hydrateAfterMs, perPass)) {
      // One region's store that is away keeps no other's volumes from theirs.
      const info = await blocks.info(volume.region, volume.baseRoot!).catch((error) => {
        log.warn({ volume: volume.id, error: messageOf(error) }, 'what the volume stands on cannot be fetched now')
      })
      if (info && (await this.#volumes.disks.hasRoomFor(info.dataBytes, unaskedReserve))) await this.hydrate(volume)
    }
  }

  /** Asks for it, unless that was done before. */
  async hydrate({ id: subjectId, accountId, region }: Volume): Promise<void> {
    const { state, operations } = this.#deps
    await state.transaction(async (tx) => {
      const underway = await tx.operations.unfinishedOf(subjectId)
      if (underway.some((operation) => isHydration(operation.kind))) return
      await operations.enqueue(tx, { kind: hydrateKind, subjectId, accountId, region, input: {} })
    })
    operations.wake()
  }
}

function hydrateOperation(deps: CloudDeps, volumes: Volumes): OperationKind<Record<string, never>, unknown> {
  const { state, blocks, machines, clock } = deps
  const { disks } = volumes

  const lazy = async (volumeId: string) => {
    const volume = await state.volumes.get(volumeId)
    return volume?.baseRoot && volume.hydratedAt === null ? { ...volume, root: volume.baseRoot } : undefined
  }

  return {
    kind: hydrateKind,
    lane: 'hydrate',
    steps: [
      {
        name: 'fetch',
        async run({ subjectId, signal, progress }) {
          const volume = await lazy(subjectId)
          if (!volume) return
          // The folder is there once the volume's first layer is; a volume that was deleted gets none from us.
          const { root, region } = volume
          const { path } = disks.localBase(subjectId)
          if (await disks.takeReadyBase(region, root, subjectId)) return
          for (const other of await state.volumes.hydratedOf(region, root)) {
            if (await disks.shareBase(other, subjectId)) return
          }
          const { dataBytes } = await blocks.info(region, root)
          if (!(await disks.hasRoomFor(dataBytes, askedReserve))) {
            throw new OperationFailure(`the disk of the host has no room for ${dataBytes} bytes more`)
          }
          await blocks.materialize({ region, root, path, diskKey: null }, { signal, onPercent: progress })
        },
      },
      {
        // The machine first: until the row says so, every start reads the served base, which is still there.
        name: 'switch',
        async run({ subjectId: volumeId }) {
          await disks.holding(volumeId, async (instanceId) => {
            if (!(await lazy(volumeId))) return
            const [attachment] = await state.volumes.attachmentsOfVolumes([volumeId])
            if (instanceId !== null && attachment && (await machines.inspect(instanceId)).state !== 'absent') {
              const disk = await disks.machineDisk(volumeId, attachment.slot)
              const chain = { ...disk.chain, base: disks.localBase(volumeId) }
              await machines.localizeBase(instanceId, { ...disk, chain })
            }
            await state.volumes.update(volumeId, { hydratedAt: clock.now() })
          })
        },
      },
    ],
    async fail({ subjectId, log }, { step, message }) {
      // The volume goes on as it was; the next pass asks again.
      if (!(await state.volumes.get(subjectId))) return
      log.error({ step, message }, 'the snapshot under the volume could not be fetched')
    },
  }
}
