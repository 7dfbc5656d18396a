/**
 * Snapshots that are written block by block. Source: "Write Amazon EBS snapshots with EBS direct APIs" in the EBS user
 * guide, and StartSnapshot, PutSnapshotBlock and CompleteSnapshot in the EBS direct APIs reference.
 *
 * What was answered is kept: a block is on stable storage, and its place in the state, before it is acknowledged. So an
 * upload goes on after a crash where it was, and its completion is an operation like any other.
 */
import { createHash } from 'node:crypto'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { SnapshotUpload } from '../../state/snapshot-uploads.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ChecksumKeeper, checksumKeeper, directBlockKey } from '../encryption/direct-keys.ts'
import type { EbsDefaults } from '../encryption/ebs-defaults.ts'
import type { Encryption, EncryptionWish } from '../encryption/encryption.ts'
import { gib } from '../volumes/volume-disks.ts'
import { assembleKind, assembleOperation, writtenBlocks } from './assembly-operation.ts'
import { completedSnapshot, ownSnapshot } from './direct-access.ts'
import type { Snapshots } from './snapshots.ts'

export interface UploadRequest {
  sizeGib: number
  parentSnapshotId: string | null
  encryption: EncryptionWish
  description: string
  tags: readonly Tag[]
  timeoutMinutes: number
  clientToken?: ClientToken
}

export interface WrittenBlock {
  index: number
  content: Buffer
  /** What the SHA-256 of the content should be. */
  checksum: string
  /** How far the writer says that it has come, in percent. */
  progress: number | null
}

/** What the writer thinks that it has written. */
export interface Completion {
  changedBlocks: number
  /** Over the checksums of all written blocks in the order of their indexes (the LINEAR method); null when not told. */
  checksum: string | null
}

const minuteMs = 60_000
const sealAttempts = 3
const overdueAtOnce = 100

export class DirectUploads {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots
  readonly #encryption: Encryption
  readonly #defaults: EbsDefaults

  constructor(
    deps: CloudDeps,
    snapshots: Snapshots,
    { encryption, defaults }: { encryption: Encryption; defaults: EbsDefaults },
  ) {
    this.#deps = deps
    this.#snapshots = snapshots
    this.#encryption = encryption
    this.#defaults = defaults
    deps.operations.register(assembleOperation(deps))
  }

  /** A new pending snapshot, or the one that a request with this token has started before. */
  async start(scope: Scope, request: UploadRequest): Promise<Snapshot> {
    const { state } = this.#deps
    const { sizeGib, parentSnapshotId, clientToken } = request
    const before = await answeredBefore(state, scope, 'StartSnapshot', clientToken)
    if (before) return (await state.snapshots.get(before[0]!))!
    const parent = parentSnapshotId && (await completedSnapshot(state, scope, parentSnapshotId)).snapshot
    if (parent && parent.sizeGib > sizeGib) {
      throw new KilnError(
        'ValidationException.InvalidVolumeSize',
        `A volume of ${sizeGib} GiB is smaller than the parent snapshot's, which has ${parent.sizeGib} GiB.`,
      )
    }
    const keyId = await this.#keyFor(scope, request.encryption, parent || null)
    const [id] = await createOnce(this.#deps, scope, 'StartSnapshot', clientToken, async (tx) => {
      await checkUploadCount(tx, scope)
      const dataKeyId = await this.#encryption.uploadDataKey(tx, keyId, parent || null)
      const snapshot = await this.#snapshots.insertUpload(tx, scope, { ...request, dataKeyId })
      await tx.snapshotUploads.insert(this.#newRow(scope, snapshot.id, request))
      return [snapshot.id]
    })
    return (await state.snapshots.get(id!))!
  }

  /**
   * The named key of a snapshot without a parent. One with a parent has the parent's, and cannot be asked to have another.
   * Source: "Encryption outcomes for EBS direct APIs" in the EBS user guide.
   */
  async #keyFor(scope: Scope, wish: EncryptionWish, parent: Snapshot | null): Promise<string | null> {
    const isDefault = await this.#defaults.encryptsByDefault(scope)
    if (parent && (wish.encrypted !== null || wish.kmsKeyId !== null)) {
      throw refused(
        'Encrypted and KmsKeyArn cannot be given with ParentSnapshotId: the snapshot is encrypted as that is.',
      )
    }
    if (parent?.dataKeyId) return null
    if (parent && isDefault) {
      throw refused(
        `The parent snapshot '${parent.id}' is not encrypted, and the account encrypts by default. Copy it first.`,
      )
    }
    if (wish.encrypted === false && isDefault) {
      throw refused('Encrypted is false, and the account encrypts by default.')
    }
    if (wish.kmsKeyId !== null && !wish.encrypted) throw refused('KmsKeyArn is given, and Encrypted is not true.')
    const names = { encrypted: 'Encrypted', kmsKeyId: 'KmsKeyArn' }
    return parent ? null : await this.#encryption.keyForVolume(scope, wish, undefined, names)
  }

  #newRow({ accountId, region }: Scope, snapshotId: string, request: UploadRequest): SnapshotUpload {
    const { parentSnapshotId, timeoutMinutes } = request
    const deadline = this.#deps.clock.now() + timeoutMinutes * minuteMs
    const nothingYet = { writes: 0, storedBytes: 0, changedBlocks: null, checksum: null }
    return { snapshotId, accountId, region, state: 'open', parentSnapshotId, timeoutMinutes, deadline, ...nothingYet }
  }

  /** Writes a block, over what was there. It is kept when this resolves, and the same again changes nothing. */
  async put(scope: Scope, snapshotId: string, block: WrittenBlock): Promise<void> {
    const { state, blocks, clock } = this.#deps
    const { contents } = blocks
    const { index, content, checksum, progress } = block
    const { snapshot, upload } = await this.#openUpload(scope, snapshotId)
    const blockCount = (snapshot.sizeGib * gib) / contents.blockBytes
    if (index >= blockCount) {
      throw new KilnError(
        'ValidationException.InvalidBlock',
        `The block index ${index} is beyond the volume's last, ${blockCount - 1}.`,
      )
    }
    if (contents.hashOf(content) !== checksum) {
      throw new KilnError(
        'ValidationException.InvalidBlock',
        `The data of block ${index} do not have the checksum that came with them.`,
      )
    }
    const sealKey = await directBlockKey(this.#deps, scope.accountId, snapshot.dataKeyId)
    const checksums = await checksumKeeper(this.#deps, scope.accountId, snapshot)
    const { hash, storedBytes } = sealKey
      ? await contents.putSealed(scope.region, content, sealKey)
      : { hash: checksum, storedBytes: await contents.put(scope.region, checksum, content) }
    const isTaken = await state.transaction(async (tx) => {
      const nowMs = clock.now()
      const deadlineMs = nowMs + upload.timeoutMinutes * minuteMs
      const row = { snapshotId, blockIndex: index, hash, sealedChecksum: checksums.ofBlock(index, checksum) }
      if (!(await tx.snapshotUploads.write(row, { nowMs, deadlineMs, storedBytes }))) return false
      if (progress !== null) await tx.snapshots.move(snapshotId, ['pending'], { progress: Math.min(99, progress) })
      return true
    })
    // It was open a moment ago: somebody has sealed it, or its time was over.
    if (!isTaken) throw notOpen(await this.#uploadOf(scope, snapshotId), clock.now())
  }

  /**
   * Seals the snapshot: what is written is what it will be. Asked again, it tells how far that has come. Throws
   * ValidationException when other blocks were written than the caller thinks.
   */
  async complete(scope: Scope, snapshotId: string, completion: Completion): Promise<Snapshot['state']> {
    for (let attempt = 0; attempt < sealAttempts; attempt++) {
      const { snapshot, upload } = await this.#uploadOf(scope, snapshotId)
      const checksums = await checksumKeeper(this.#deps, scope.accountId, snapshot)
      const told = { ...completion, checksum: completion.checksum && checksums.ofAll(completion.checksum) }
      if (upload.changedBlocks !== null) {
        checkCompletion(told, { changedBlocks: upload.changedBlocks, checksum: upload.checksum! })
        return snapshot.state
      }
      await this.#openUpload(scope, snapshotId)
      const written = await this.#tally(snapshotId, checksums)
      checkCompletion(told, written)
      if (await this.#seal(scope, upload, written)) return 'pending'
    }
    throw new KilnError(
      'ValidationException.ConflictingBlockUpdate',
      `Blocks are still being written to the snapshot '${snapshotId}'.`,
    )
  }

  /** The checksum as it is kept. */
  async #tally(snapshotId: string, checksums: ChecksumKeeper): Promise<{ changedBlocks: number; checksum: string }> {
    const digest = createHash('sha256')
    let changedBlocks = 0
    for await (const block of writtenBlocks(this.#deps, snapshotId)) {
      digest.update(checksums.readBlock(block), 'hex')
      changedBlocks++
    }
    return { changedBlocks, checksum: checksums.ofAll(digest.digest('hex')) }
  }

  /** False when a block was written since it was counted, or the time is over. */
  async #seal(
    scope: Scope,
    { snapshotId, writes }: SnapshotUpload,
    written: { changedBlocks: number; checksum: string },
  ): Promise<boolean> {
    const { state, operations, clock } = this.#deps
    const isSealed = await state.transaction(async (tx) => {
      if (!(await tx.snapshotUploads.seal(snapshotId, { ...written, writes, nowMs: clock.now() }))) return false
      await operations.enqueue(tx, { kind: assembleKind, subjectId: snapshotId, ...scope, input: {} })
      return true
    })
    if (isSealed) operations.wake()
    return isSealed
  }

  /** Fails the uploads whose time is over. For a timer. */
  async expire(): Promise<void> {
    const { state, clock } = this.#deps
    const nowMs = clock.now()
    for (const { snapshotId, timeoutMinutes } of await state.snapshotUploads.overdue(nowMs, overdueAtOnce)) {
      await state.transaction(async (tx) => {
        if (!(await tx.snapshotUploads.close(snapshotId, 'open', nowMs))) return
        const stateMessage = `It was neither written to nor completed for ${timeoutMinutes} minutes`
        await tx.snapshots.move(snapshotId, ['pending'], { state: 'error', stateMessage })
      })
    }
  }

  async #uploadOf(scope: Scope, snapshotId: string): Promise<{ snapshot: Snapshot; upload: SnapshotUpload }> {
    const { state } = this.#deps
    const snapshot = await ownSnapshot(state, scope, snapshotId)
    const upload = await state.snapshotUploads.get(snapshotId)
    if (upload) return { snapshot, upload }
    throw new KilnError(
      'ValidationException.InvalidSnapshotId',
      `The snapshot '${snapshotId}' was not started with StartSnapshot.`,
    )
  }

  async #openUpload(scope: Scope, snapshotId: string): Promise<{ snapshot: Snapshot; upload: SnapshotUpload }> {
    const found = await this.#uploadOf(scope, snapshotId)
    const nowMs = this.#deps.clock.now()
    if (found.upload.state === 'open' && found.upload.deadline >= nowMs) return found
    throw notOpen(found, nowMs)
  }
}

const refused = (message: string) => new KilnError('ValidationException.InvalidParameterValue', message)

async function checkUploadCount(tx: Repositories, { accountId, region }: Scope): Promise<void> {
  const max = limits.snapshotUploadsPerAccount
  if ((await tx.snapshotUploads.countUnclosed(accountId, region)) < max) return
  throw new KilnError('ConcurrentLimitExceededException', `The account has ${max} snapshots that are being written.`)
}

function checkCompletion(told: Completion, written: { changedBlocks: number; checksum: string }): void {
  if (told.changedBlocks !== written.changedBlocks) {
    throw new KilnError(
      'ValidationException.InvalidParameterValue',
      `ChangedBlocksCount is ${told.changedBlocks}, and ${written.changedBlocks} blocks were written.`,
    )
  }
  if (told.checksum !== null && told.checksum !== written.checksum) {
    throw new KilnError(
      'ValidationException.InvalidParameterValue',
      'The aggregated checksum is not that of the blocks that were written.',
    )
  }
}

/** Why nothing can be written to it, or completed. */
function notOpen({ upload }: { upload: SnapshotUpload }, nowMs: number): KilnError {
  const { snapshotId, state, timeoutMinutes, changedBlocks, deadline } = upload
  const isOverdue = changedBlocks === null && (state === 'closed' || deadline < nowMs)
  const why = isOverdue
    ? `timed out: nothing came for ${timeoutMinutes} minutes`
    : 'is completed, and no longer pending'
  return new KilnError('ValidationException.InvalidSnapshotId', `The snapshot '${snapshotId}' ${why}.`)
}
