/** Looking for bytes in every file below a folder, as somebody would who has stolen the disk. */
import { execFile } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'

/** The files that hold any of the texts, each with which. What goes away meanwhile holds none; links are not followed. */
export async function filesHolding(folder: string, texts: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = []
  for await (const path of filesBelow(folder)) {
    const content = await unlessGone(contentOf(path))
    for (const text of texts) {
      if (content?.includes(text)) found.push(`${relative(folder, path)}: ${String(text).slice(0, 40)}`)
    }
  }
  return found
}

/** A file as it is; of a disk that is mostly holes only what is in it, because to read zeros by the gibibyte takes seconds. */
async function contentOf(path: string): Promise<Buffer> {
  const { size, blocks } = await stat(path)
  if (blocks * 512 > size / 2) return await readFile(path)
  const words = ['--create', '--sparse', '--file=-', `--directory=${dirname(path)}`, basename(path)]
  const archive = promisify(execFile)('tar', words, { encoding: 'buffer', maxBuffer: Number.POSITIVE_INFINITY })
  return await archive.then(
    ({ stdout }) => stdout,
    async (error: { code: number; stdout: Buffer }) => {
      // 1: somebody wrote into it meanwhile.
      if (error.code === 1) return error.stdout
      await stat(path)
      throw error
    },
  )
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
