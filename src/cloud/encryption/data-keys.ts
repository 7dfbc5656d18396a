/**
 * Data keys: one a lineage. A volume, its snapshots, the volumes made of these and their snapshots have one, so that equal
 * blocks of theirs are sealed alike and stored once. A data key itself encrypts nothing: what does are sub-keys of it.
 *
 * Opened keys are handed to whoever does the work at hand, and are kept nowhere.
 */
import { KilnError } from '../../lib/errors.ts'
import { keyBytes, seal, subKey, unseal } from '../../lib/sealing.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { arnOf, disabled, type KeyDeps, uuidOf, versionLabel } from './named-keys.ts'

const label = (originId: string) => `data key ${originId}`

/** The key of a new lineage, sealed by that named key; its id. */
export async function newDataKey(deps: KeyDeps, tx: Repositories, keyId: string): Promise<string> {
  const { random } = deps
  const id = uuidOf(random.bytes(16))
  await insert(deps, tx, { id, originId: id, keyId, material: random.bytes(keyBytes) })
  return id
}

/**
 * The same data key, sealed by that named key: what was sealed with it need not be sealed anew. Throws
 * CustomerKeyHasBeenRevoked when it cannot be opened by the account.
 */
export async function dataKeyUnder(
  deps: KeyDeps,
  tx: Repositories,
  request: { accountId: string; dataKeyId: string; keyId: string },
): Promise<string> {
  const { accountId, dataKeyId, keyId } = request
  const { originId } = (await tx.encryption.dataKey(dataKeyId))!
  const present = await tx.encryption.dataKeyUnder(originId, keyId)
  if (present) return present.id
  const material = await openDataKey(deps, tx, { accountId, dataKeyId })
  const id = uuidOf(deps.random.bytes(16))
  await insert(deps, tx, { id, originId, keyId, material })
  return id
}

async function insert(
  deps: KeyDeps,
  tx: Repositories,
  about: { id: string; originId: string; keyId: string; material: Buffer },
): Promise<void> {
  const { id, originId, keyId, material } = about
  const { currentVersion } = (await tx.encryption.key(keyId))!
  const version = await openVersion(deps, tx, keyId, currentVersion)
  const sealed = seal(version, material, label(originId)).toString('hex')
  await tx.encryption.insertDataKey({
    id,
    originId,
    keyId,
    keyVersion: currentVersion,
    sealed,
    createdAt: deps.clock.now(),
  })
}

async function openVersion(
  { masterKey }: Pick<KeyDeps, 'masterKey'>,
  tx: Repositories,
  keyId: string,
  version: number,
): Promise<Buffer> {
  const row = (await tx.encryption.version(keyId, version))!
  return masterKey.unseal(Buffer.from(row.sealed, 'hex'), versionLabel(keyId, version))
}

/** Throws CustomerKeyHasBeenRevoked when the account may not use the named key, or when that is disabled. */
export async function openDataKey(
  deps: Pick<CloudDeps, 'masterKey'>,
  tx: Repositories,
  { accountId, dataKeyId }: { accountId: string; dataKeyId: string },
): Promise<Buffer> {
  const row = await tx.encryption.dataKey(dataKeyId)
  const key = row && (await tx.encryption.key(row.keyId))
  if (!row || !key) throw new Error(`the data key ${dataKeyId} is gone`)
  if (key.state === 'disabled') throw disabled(key)
  if (key.accountId !== accountId && !(await tx.encryption.granteesOf(key.id)).includes(accountId)) {
    throw new KilnError(
      'CustomerKeyHasBeenRevoked',
      `The encryption key ${arnOf(key)} is not accessible to account ${accountId}`,
    )
  }
  const version = await openVersion(deps, tx, key.id, row.keyVersion)
  return unseal(version, Buffer.from(row.sealed, 'hex'), label(row.originId))
}

type Using = Pick<CloudDeps, 'state' | 'masterKey'>

/** What a volume's files are encrypted with; null for one that is not encrypted. Throws as {@link openDataKey}. */
export async function diskKeyOf(
  deps: Using,
  { accountId, dataKeyId }: { accountId: string; dataKeyId: string | null },
): Promise<Buffer | null> {
  if (dataKeyId === null) return null
  return subKey(await openDataKey(deps, deps.state, { accountId, dataKeyId }), 'disk')
}

/** What a snapshot's blocks are sealed with; null for one that is not encrypted. Throws as {@link openDataKey}. */
export async function blockKeyOf(deps: Using, accountId: string, dataKeyId: string | null): Promise<Buffer | null> {
  if (dataKeyId === null) return null
  return subKey(await openDataKey(deps, deps.state, { accountId, dataKeyId }), 'blocks')
}

/** What the checksums of blocks are sealed with, as long as they lie in the state. */
export async function checksumKeyOf(deps: Using, accountId: string, dataKeyId: string | null): Promise<Buffer | null> {
  if (dataKeyId === null) return null
  return subKey(await openDataKey(deps, deps.state, { accountId, dataKeyId }), 'checksums')
}
