/** What a local store asks of a file system: a port, so that a failing disk can be put under it. */
import { link, lstat, mkdir, open, readdir, rename, rmdir, statfs, unlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { flush } from '../lib/stable-storage.ts'

export interface FileFacts {
  sizeBytes: number
  /** When the file last came to this name or changed, by the file system's clock. */
  changedAtMs: number
}

/** Failures are Node's system errors, with `code` ENOENT, ENOSPC, EIO … */
export interface StoreFiles {
  read(path: string): Promise<Buffer>
  /** Makes a new file; it may be lost or torn when the power fails. */
  write(path: string, bytes: Buffer): Promise<void>
  /** Makes or replaces a file, on stable storage when it resolves. */
  writeDurably(path: string, bytes: Buffer): Promise<void>
  /** A file's content, or the names in a folder, are on stable storage when it resolves. */
  sync(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  link(existing: string, path: string): Promise<void>
  remove(path: string): Promise<void>
  /** Fails with ENOTEMPTY when something is in it. */
  removeFolder(path: string): Promise<void>
  makeFolder(path: string, options?: { recursive: boolean }): Promise<void>
  names(path: string): Promise<string[]>
  facts(path: string): Promise<FileFacts>
  /** Of the file system that holds the path; free is what this process may still take. */
  room(path: string): Promise<{ freeBytes: number; totalBytes: number }>
}

export const realFiles: StoreFiles = {
  read,
  write: (path, bytes) => writeFile(path, bytes, { flag: 'wx', mode: 0o600 }),
  writeDurably: async (path, bytes) => {
    const fresh = `${path}.new`
    await writeFile(fresh, bytes, { mode: 0o600, flush: true })
    await rename(fresh, path)
    await flush(dirname(path))
  },
  sync: flush,
  rename,
  link,
  remove: unlink,
  removeFolder: rmdir,
  makeFolder: async (path, options) => {
    await mkdir(path, { mode: 0o700, recursive: options?.recursive ?? false })
  },
  names: (path) => readdir(path),
  facts: async (path) => {
    const { size, ctimeMs } = await lstat(path)
    return { sizeBytes: size, changedAtMs: ctimeMs }
  },
  room: async (path) => {
    const { bavail, blocks, bsize } = await statfs(path)
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
  },
}

/** In one piece: `readFile` takes blocks, which are a byte longer than half a mebibyte, in two, and copies them together. */
async function read(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const bytes = Buffer.allocUnsafeSlow((await file.stat()).size)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } finally {
    await file.close()
  }
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}
