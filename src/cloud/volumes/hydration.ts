/**
 * Hydration: the rest of the snapshot under a volume is fetched into a file of this host, and from then on the volume
 * needs no snapshot and no block server. It begins some time after the volume was made, because a guest that boots has
 * better use for the disk; whoever cannot wait asks for it. Volumes of one snapshot share that file.
 */
import { messageOf } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Volume } from '../../state/volumes.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf, diskKeyOf } from '../encryption/data-keys.ts'
import { type HydrationInput, hydrateKind, hydrationOf, initializeKind, mib } from './initialization.ts'
import type { Volumes } from './volumes.ts'

/** What one pass of the reconciler asks for; the next one asks for more. */
const perPass = 20
/** The share of the disk that stays free for guests: of what is fetched unasked, and of what somebody asks for. */
const [unaskedReserve, askedReserve] = [1 / 10, 1 / 100]
/** A volume that was asked to be fetched before it has files. */
const lookAgainMs = 500

export class Hydration {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
    // Those that wait for their turn must not hold up those that were promised a rate.
    deps.operations.register(hydrateOperation(deps, volumes, { kind: hydrateKind, lane: 'hydrate' }))
    deps.operations.register(hydrateOperation(deps, volumes, { kind: initializeKind, lane: 'initialize' }))
  }

  /** One pass: volumes that are old enough and still lazy, as long as the disk has room. */
  async hydrateDue(): Promise<void> {
    const { state, clock, timing, machines, log } = this.#deps
    // No guest ever reads what simulated machines have.
    if (machines.kind === 'simulated') return
    for (const volume of await state.volumes.notHydrated(clock.now() - timing.hydrateAfterMs, perPass)) {
      // Neither a region's store that is away nor a key that is disabled keeps other volumes from theirs.
      const info = await this.#infoOf(volume).catch((error) => {
        log.warn({ volume: volume.id, error: messageOf(error) }, 'what the volume stands on cannot be fetched now')
      })
      if (info && (await this.#volumes.disks.hasRoomFor(info.dataBytes, unaskedReserve))) await this.hydrate(volume)
    }
  }

  async #infoOf(volume: Volume) {
    await keysOf(this.#deps, volume)
    return await this.#deps.blocks.info(volume.region, volume.baseRoot!)
  }

  /** Asks for it, unless that was done before. */
  async hydrate({ id: volumeId, accountId, region }: Volume): Promise<void> {
    const { state, operations } = this.#deps
    await state.transaction(async (tx) => {
      const subjectId = hydrationOf(volumeId)
      const underway = await tx.operations.unfinishedOf(subjectId)
      if (underway.length > 0) return
      await operations.enqueue(tx, { kind: hydrateKind, subjectId, accountId, region, input: { volumeId } })
    })
    operations.wake()
  }
}

/** What opens the snapshot under a volume, and what its copy on this host is encrypted with. Throws when either cannot be used. */
async function keysOf(deps: CloudDeps, volume: Volume) {
  const sealKey = await blockKeyOf(deps, volume.accountId, volume.baseDataKeyId)
  return { sealKey, diskKey: await diskKeyOf(deps, volume) }
}

function hydrateOperation(
  deps: CloudDeps,
  volumes: Volumes,
  { kind, lane }: { kind: string; lane: string },
): OperationKind<HydrationInput, unknown> {
  const { state, blocks, machines, clock } = deps
  const { disks } = volumes

  const lazy = async (volumeId: string) => {
    const volume = await state.volumes.get(volumeId)
    return volume?.baseRoot && volume.hydratedAt === null ? { ...volume, root: volume.baseRoot } : undefined
  }

  return {
    kind,
    lane,
    steps: [
      {
        name: 'fetch',
        async run({ input: { volumeId }, signal, progress }) {
          const volume = await lazy(volumeId)
          if (!volume) return
          if (!(await state.volumes.layers(volumeId)).some((layer) => layer.isMade)) return { againInMs: lookAgainMs }
          // The folder is there once the volume's first layer is; a volume that was deleted gets none from us.
          const { root, region, dataKeyId, initializationRate: rate } = volume
          const keys = await keysOf(deps, volume)
          const { path } = disks.localBase(volumeId)
          if (await disks.takeReadyBase(volume)) return
          for (const other of await state.volumes.hydratedOf(region, root, dataKeyId)) {
            if (await disks.shareBase(other, volumeId)) return
          }
          const { dataBytes } = await blocks.info(region, root)
          if (!(await disks.hasRoomFor(dataBytes, askedReserve))) {
            throw new OperationFailure(`the disk of the host has no room for ${dataBytes} bytes more`)
          }
          const bytesPerSecond = rate === null ? undefined : rate * mib
          await blocks.materialize({ region, root, path, ...keys, bytesPerSecond }, { signal, onPercent: progress })
        },
      },
      {
        // The machine first: until the row says so, every start reads the served base, which is still there.
        name: 'switch',
        async run({ input: { volumeId } }) {
          return await disks.holding(volumeId, async (instanceId) => {
            const volume = await lazy(volumeId)
            if (!volume) return
            if (volume.multiAttach === 1 && (await deps.sharedDisks.isServed(volumeId))) {
              const chain = { ...(await disks.chain(volume)), base: disks.localBase(volumeId) }
              await deps.sharedDisks.localizeBase(volumeId, chain)
            }
            const [attachment] = await state.volumes.attachmentsOfVolumes([volumeId])
            // Whether the machine has the disk is settled in a moment.
            if (attachment?.state === 'attaching' || attachment?.state === 'detaching')
              return { againInMs: lookAgainMs }
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
    async fail({ input: { volumeId }, log }, { step, message }) {
      // The volume goes on as it was; the next pass asks again.
      if (!(await state.volumes.get(volumeId))) return
      log.error({ step, message, volume: volumeId }, 'the snapshot under the volume could not be fetched')
    },
  }
}
