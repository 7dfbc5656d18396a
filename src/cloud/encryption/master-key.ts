/**
 * The master key that belongs to a state. The state remembers which one it is by something sealed under it: another one, or
 * none where there ought to be one, is told at the start, and nothing takes its place. As long as neither a named key nor
 * the cloud's certificate was made, nothing is sealed, and any master key will do.
 */
import { KilnError, messageOf } from '../../lib/errors.ts'
import { type MasterKey, makeMasterKey, readMasterKey } from '../../lib/master-key.ts'
import type { Random } from '../../lib/random.ts'
import type { Repositories } from '../../state/state.ts'

/** The cloud's certificate for bundles, and its private key, which is sealed under the master key as well. */
export const cloudIdentitySetting = 'cloud identity'

const setting = 'master key'
const probe = Buffer.from('kiln')

interface Remembered {
  id: string
  sealed: string
}

/** Reads the file, or makes it where nothing is sealed. Throws an error that says which file is wanted. */
export async function openMasterKey(
  { state, random }: { state: Repositories; random: Random },
  path: string,
): Promise<MasterKey> {
  const known = await rememberedIn(state)
  if (known && (await isInUse(state))) return await theRemembered(path, known)
  const key = await readMasterKey(path).catch((error) => {
    if (isMissing(error)) return makeMasterKey(path, random)
    throw error
  })
  const remembered: Remembered = { id: key.id, sealed: key.seal(probe, setting).toString('hex') }
  await state.settings.put(setting, JSON.stringify(remembered))
  return key
}

const isInUse = async ({ encryption, settings }: Repositories) =>
  (await encryption.hasKeys()) || (await settings.value(cloudIdentitySetting)) !== undefined

async function theRemembered(path: string, known: Remembered): Promise<MasterKey> {
  const key = await readMasterKey(path).catch((error) => {
    throw new Error(`${messageOf(error)}; ${wanted(known)}`, { cause: error })
  })
  try {
    key.unseal(Buffer.from(known.sealed, 'hex'), setting)
    return key
  } catch (error) {
    throw new Error(`${path} is another master key (${key.id}); ${wanted(known)}`, { cause: error })
  }
}

/** Throws Unavailable when another host has begun to seal the keys of this state under another master key. */
export async function checkMasterKey(tx: Repositories, masterKey: MasterKey): Promise<void> {
  const known = await rememberedIn(tx)
  if (known?.id === masterKey.id) return
  throw new KilnError('Unavailable', `The keys of this state are sealed under another master key, ${known?.id}`)
}

async function rememberedIn({ settings }: Repositories): Promise<Remembered | undefined> {
  const text = await settings.value(setting)
  return text === undefined ? undefined : (JSON.parse(text) as Remembered)
}

const wanted = ({ id }: Remembered) =>
  `the encryption keys of this home are sealed under the master key ${id}: put its file back, or name it with --key-file (KILN_KEY_FILE)`

const isMissing = (error: unknown) =>
  error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
