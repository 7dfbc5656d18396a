/**
 * A machine's serial output: a file that the machine appends to for as long as it lives, whoever watches. It is kept
 * short by copying its tail to a second file and emptying the first.
 */
import { open, readFile, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { limits } from '../lib/limits.ts'

/** How long the file may grow before it is cut to {@link limits.consoleBytes}. */
const trimAboveBytes = 16 * limits.consoleBytes

const earlier = (path: string) => `${path}.earlier`

/** The newest `maxBytes` of output, and when the last byte was written; null when there was never any. */
export async function readConsole(path: string, maxBytes: number): Promise<{ text: string; atMs: number } | null> {
  const newest = await readTail(path, maxBytes)
  if (!newest) return null
  const older =
    newest.bytes.length < maxBytes ? await readFile(earlier(path)).catch(() => Buffer.alloc(0)) : Buffer.alloc(0)
  const room = maxBytes - newest.bytes.length
  const bytes = Buffer.concat([older.subarray(Math.max(0, older.length - room)), newest.bytes])
  return bytes.length === 0 ? null : { text: textOf(bytes), atMs: Math.floor(newest.atMs) }
}

/** Cuts an output that has grown too long. What the machine writes in the very moment of the cut may be lost. */
export async function trimConsole(path: string): Promise<void> {
  const before = await stat(path).catch(() => undefined)
  if (!before || before.size <= trimAboveBytes) return
  const tail = await readTail(path, limits.consoleBytes)
  if (!tail) return
  await writeFile(`${earlier(path)}.new`, tail.bytes, { mode: 0o600 })
  await rename(`${earlier(path)}.new`, earlier(path))
  await truncate(path, 0)
  // Emptying the file is not output: its date stays that of the last byte.
  await utimes(path, before.atime, before.mtime)
}

async function readTail(path: string, maxBytes: number): Promise<{ bytes: Buffer; atMs: number } | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return undefined
  try {
    const { size, mtimeMs } = await file.stat()
    const bytes = Buffer.alloc(Math.min(size, maxBytes))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, size - bytes.length)
    return { bytes: bytes.subarray(0, bytesRead), atMs: mtimeMs }
  } finally {
    await file.close()
  }
}

/** Text of bytes that may begin within a character. */
function textOf(bytes: Buffer): string {
  let start = 0
  while (start < Math.min(3, bytes.length) && (bytes[start]! & 0xc0) === 0x80) start += 1
  return bytes.toString('utf8', start)
}
