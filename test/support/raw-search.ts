/** Looking for bytes in every file below a folder, as somebody would who has stolen the disk. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** The files that hold any of the texts, each with which. What goes away meanwhile holds none; links are not followed. */
export async function filesHolding(folder: string, texts: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = []
  for await (const path of filesBelow(folder)) {
    const content = await unlessGone(readFile(path))
    for (const text of texts) {
      if (content?.includes(text)) found.push(`${relative(folder, path)}: ${String(text).slice(0, 40)}`)
    }
  }
  return found
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for (const entry of (await unlessGone(readdir(folder, { withFileTypes: true }))) ?? []) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  return await reading.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}
