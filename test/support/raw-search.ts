/** Looking for bytes in every file below a folder, as somebody would who has stolen the disk. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** The files that hold any of the texts, each with which. A file that goes away meanwhile holds none. */
export async function filesHolding(folder: string, texts: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const content = await readFile(path).catch(() => Buffer.alloc(0))
    for (const text of texts)
      if (content.includes(text)) found.push(`${relative(folder, path)}: ${String(text).slice(0, 40)}`)
  }
  return found
}
