/** Files in a local store that nobody knows: half-written objects of a writer that died, and what lies where only objects may. */
import { basename, join, relative } from 'node:path'
import { isHash } from './format.ts'
import { objectKinds } from './store.ts'
import { hasCode, type StoreFiles } from './store-files.ts'

/** Left when the power fails between writing a small file and giving it its name. */
const halfWritten = ['format.new', 'uncommitted.new']

/** What lies elsewhere in the folder is not ours to judge, and stays. */
export async function* localStrays(directory: string, files: StoreFiles): AsyncGenerator<string> {
  const top = await files.names(directory)
  for (const name of halfWritten) if (top.includes(name)) yield join(directory, name)
  for (const name of await files.names(join(directory, 'tmp'))) yield join(directory, 'tmp', name)
  for (const kind of objectKinds) yield* straysBelow(join(directory, kind), join(directory, kind), files)
}

async function* straysBelow(kindFolder: string, folder: string, files: StoreFiles): AsyncGenerator<string> {
  for (const name of await files.names(folder)) {
    const path = join(folder, name)
    if (isObjectPath(relative(kindFolder, path))) continue
    if (isFolderName(relative(kindFolder, path)) && (await isFolder(path, files))) {
      yield* straysBelow(kindFolder, path, files)
    } else if (!(await isFolder(path, files))) yield path
  }
}

/** `ab/cd/abcd…` */
function isObjectPath(path: string): boolean {
  const name = basename(path)
  return isHash(name) && path === join(name.slice(0, 2), name.slice(2, 4), name)
}

const isFolderName = (path: string) => /^[0-9a-f]{2}(\/[0-9a-f]{2})?$/.test(path)

async function isFolder(path: string, files: StoreFiles): Promise<boolean> {
  return await files.names(path).then(
    () => true,
    (error) => {
      if (hasCode(error, 'ENOTDIR')) return false
      throw error
    },
  )
}
