import { open } from 'node:fs/promises'

const pieceBytes = 1024 * 1024
const zeros = Buffer.alloc(pieceBytes)

/** Writes a new file of that size from what comes. Where only zeros come, nothing is written: the file has a hole. */
export async function writeSparse(
  path: string,
  sizeBytes: number,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    let at = 0
    for await (const piece of source) {
      signal.throwIfAborted()
      if (!isZero(piece)) await file.write(piece, 0, piece.length, at)
      at += piece.length
    }
    if (at !== sizeBytes) throw new Error(`${at} bytes came of a file of ${sizeBytes}`)
    await file.truncate(sizeBytes)
    // It is renamed next: a name that is there must stand for all of it, after a power failure too.
    await file.sync()
  } finally {
    await file.close()
  }
}

export function isZero(piece: Buffer): boolean {
  for (let at = 0; at < piece.length; at += pieceBytes) {
    const part = piece.subarray(at, at + pieceBytes)
    if (!part.equals(zeros.subarray(0, part.length))) return false
  }
  return true
}
