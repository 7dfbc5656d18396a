/**
 * The master key that belongs to a state. The state remembers which one it is by something sealed under it: another one, or
 * none where there ought to be one, is told at the start, and nothing takes its place.
 */
import { messageOf } from '../../lib/errors.ts'
import { type MasterKey, makeMasterKey, readMasterKey } from '../../lib/master-key.ts'
import type { CloudDeps } from '../deps.ts'

const setting = 'master key'
const probe = Buffer.from('kiln')

interface Remembered {
  id: string
  sealed: string
}

/** Reads the file, or makes it where no key was ever used. Throws an error that says which file is wanted. */
export async function openMasterKey(
  { state, random }: Pick<CloudDeps, 'state' | 'random'>,
  path: string,
): Promise<MasterKey> {
  const known = await state.settings.value(setting)
  if (known === undefined) {
    const key = await readMasterKey(path).catch((error) => {
      if (isMissing(error)) return makeMasterKey(path, random)
      throw error
    })
    const remembered: Remembered = { id: key.id, sealed: key.seal(probe, setting).toString('hex') }
    return checked(key, await state.settings.getOrMake(setting, () => JSON.stringify(remembered)))
  }
  const key = await readMasterKey(path).catch((error) => {
    throw new Error(`${messageOf(error)}; ${wanted(JSON.parse(known))}`, { cause: error })
  })
  return checked(key, known)
}

function checked(key: MasterKey, known: string): MasterKey {
  const remembered = JSON.parse(known) as Remembered
  try {
    key.unseal(Buffer.from(remembered.sealed, 'hex'), setting)
    return key
  } catch (error) {
    throw new Error(`${key.path} is another master key (${key.id}); ${wanted(remembered)}`, { cause: error })
  }
}

const wanted = ({ id }: Remembered) =>
  `the encryption keys of this home are sealed under the master key ${id}: put its file back, or name it with --key-file (KILN_KEY_FILE)`

const isMissing = (error: unknown) =>
  error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
