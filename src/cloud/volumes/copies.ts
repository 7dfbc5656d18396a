/**
 * CopyVolumes: a volume that begins as another one is at this moment. Source: "Copy an Amazon EBS volume" in the EBS user
 * guide.
 *
 * The source's top is frozen as for a snapshot. From then on the copy has the frozen files under its own names (hard
 * links) and a new top of its own, so nothing is copied, and neither volume needs the other: whichever is deleted, the
 * files stay for the rest. What lies under them comes along too, be it a local file or a snapshot that is still served.
 */
import { within } from '../../lib/clock.ts'
import { KilnError } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Tag } from '../../state/tags.ts'
import type { Volume } from '../../state/volumes.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Encryption, EncryptionWish } from '../encryption/encryption.ts'
import { layerFileName } from './volume-disks.ts'
import { checkMultiAttach, volumeParameters, volumeShape } from './volume-types.ts'
import type { Volumes } from './volumes.ts'

export interface CopyVolumeRequest {
  sourceVolumeId: string
  sizeGib: number | null
  volumeType: string | null
  iops: number | null
  throughput: number | null
  multiAttach: boolean
  encryption: EncryptionWish
  tags: readonly Tag[]
  clientToken?: ClientToken
}

const copyVolumeKind = 'copy-volume'
/** A request waits so long for the instant of its copy; then the operation does it. */
const freezeWithinMs = 5000

export class VolumeCopies {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes
  readonly #encryption: Encryption

  constructor(deps: CloudDeps, volumes: Volumes, encryption: Encryption) {
    this.#deps = deps
    this.#volumes = volumes
    this.#encryption = encryption
    deps.operations.register(copyVolumeOperation(deps, volumes))
  }

  /** The copy, still `creating`. It will hold what the source holds now. */
  async create(scope: Scope, request: CopyVolumeRequest): Promise<Volume> {
    const { state, operations, clock, log } = this.#deps
    const { sourceVolumeId, tags } = request
    const before = await answeredBefore(state, scope, 'CopyVolumes', request.clientToken)
    if (before) return await this.#volumes.get(scope, before[0]!)
    await this.#checkEncryption(scope, request)
    const [id] = await createOnce(this.#deps, scope, 'CopyVolumes', request.clientToken, async (tx) => {
      const source = await this.#volumes.get(scope, sourceVolumeId, tx)
      checkSource(source)
      const shape = volumeShape({ ...request, sizeGib: sizeOf(request, source) }, volumeParameters)
      if (request.multiAttach) checkMultiAttach(shape.volumeType)
      // What the source may still read of the store must stay for the copy as well.
      const { zone, baseRoot, hydratedAt, encrypted, dataKeyId, baseDataKeyId } = source
      // The frozen files are encrypted under the source's data key, so the copy is of its lineage.
      const sealing = { encrypted, dataKeyId, baseDataKeyId }
      const multiAttach = request.multiAttach ? 1 : 0
      const origin = { zone, snapshotId: null, baseRoot, hydratedAt, sourceVolumeId, multiAttach } as const
      const copyId = await this.#volumes.insertNew(tx, scope, { ...shape, ...sealing, ...origin }, 'creating')
      await tx.tags.put({ id: copyId, type: 'volume', ...scope }, tags)
      await operations.enqueue(tx, { kind: copyVolumeKind, subjectId: copyId, ...scope, input: { sourceVolumeId } })
      return [copyId]
    })
    const freezing = this.#volumes.disks.freezeOne({ volumeId: sourceVolumeId, snapshotId: id! })
    await within(clock, freezing, { what: `freezing ${sourceVolumeId}`, timeoutMs: freezeWithinMs }).catch((error) =>
      log.warn({ err: error, volume: sourceVolumeId }, 'freezing is left to the operation'),
    )
    operations.wake()
    return await this.#volumes.get(scope, id!)
  }

  /** The copy has its source's files as they are: it cannot be encrypted where they are not, nor under another key. */
  async #checkEncryption(scope: Scope, { sourceVolumeId, encryption: wish }: CopyVolumeRequest): Promise<void> {
    const { dataKeyId } = await this.#volumes.get(scope, sourceVolumeId)
    if (dataKeyId !== null && wish.kmsKeyId === null) return
    const keyId = await this.#encryption.keyForVolume(scope, wish, undefined)
    const own = dataKeyId && (await this.#deps.state.encryption.keysOf([dataKeyId])).get(dataKeyId)?.id
    if (keyId === own) return
    const another =
      dataKeyId === null ? 'is not encrypted, so its copy cannot be (Encrypted)' : 'has another key (KmsKeyId)'
    throw new KilnError(
      'UnsupportedOperation',
      `Volume '${sourceVolumeId}' ${another}: create a volume of a snapshot of it instead`,
    )
  }
}

function checkSource({ id, state }: Volume): void {
  if (state !== 'available' && state !== 'in-use') {
    throw new KilnError('IncorrectState', `Volume '${id}' is in state '${state}' and cannot be copied`)
  }
}

function sizeOf({ sizeGib }: CopyVolumeRequest, source: Volume): number {
  if (sizeGib === null || sizeGib >= source.sizeGib) return sizeGib ?? source.sizeGib
  throw new KilnError(
    'InvalidParameterValue',
    `Volume of size ${sizeGib}GB is smaller than its source '${source.id}', expect size >= ${source.sizeGib}GB (Size)`,
  )
}

function copyVolumeOperation(deps: CloudDeps, volumes: Volumes): OperationKind<{ sourceVolumeId: string }, unknown> {
  const { state, locks } = deps
  const { disks } = volumes

  /** For a caller that keeps the source from being hydrated or frozen meanwhile. */
  async function takeFiles(copyId: string, sourceVolumeId: string): Promise<void> {
    const source = await state.volumes.get(sourceVolumeId)
    const all = await state.volumes.layers(sourceVolumeId)
    const top = all.findIndex((layer) => layer.snapshotId === copyId)
    if (!source || top < 0) throw new OperationFailure(`volume ${sourceVolumeId} is gone`)
    const layers = all.slice(0, top + 1)
    const { sizeGib, baseRoot, hydratedAt } = source
    await disks.shareFiles(layers, copyId, { hasLocalBase: baseRoot !== null && hydratedAt !== null })
    await state.transaction(async (tx) => {
      const copy = await tx.volumes.get(copyId)
      if (copy?.state !== 'creating') return
      const seq = layers.at(-1)!.seq + 1
      await tx.volumes.replaceLayers(copyId, [
        ...layers.map((layer) => ({ ...layer, volumeId: copyId })),
        { volumeId: copyId, seq, fileName: layerFileName(seq), snapshotId: null, isMade: 0 },
      ])
      // The source may just have grown.
      await tx.volumes.update(copyId, { baseRoot, hydratedAt, sizeGib: Math.max(copy.sizeGib, sizeGib) })
    })
  }

  return {
    kind: copyVolumeKind,
    lane: 'volumes',
    steps: [
      {
        name: 'freeze',
        run: ({ subjectId, input }) => disks.freezeOne({ volumeId: input.sourceVolumeId, snapshotId: subjectId }),
      },
      {
        name: 'take-files',
        run: ({ subjectId, input: { sourceVolumeId } }) =>
          disks.holding(sourceVolumeId, () => takeFiles(subjectId, sourceVolumeId)),
      },
      {
        name: 'make-top',
        async run({ subjectId }) {
          await locks.hold(subjectId, async () => {
            const volume = await state.volumes.get(subjectId)
            if (!volume) throw new OperationFailure(`volume ${subjectId} is gone`)
            await disks.chain(volume)
            await state.volumes.move(subjectId, ['creating'], 'available')
          })
        },
      },
    ],
    async fail({ subjectId, log }, { step, message }) {
      log.error({ step, message }, 'the volume could not be copied')
      await state.volumes.move(subjectId, ['creating'], 'error')
    },
  }
}
