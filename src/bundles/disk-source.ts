/** A raw disk's file as the source of a bundle: it is looked through for zeros first, and only the rest is packed. */
import { type FileHandle, open } from 'node:fs/promises'
import type { ImageSource } from './bundle.ts'
import type { Extent } from './tar-format.ts'

const readBytes = 1024 * 1024
/** Zeros of that many bytes, at a multiple of them, are a hole. */
const holeBytes = 256 * 1024
const zeros = Buffer.alloc(holeBytes)

/** Nobody may write into the file meanwhile. Close it when the bundle is made. */
export async function openDisk(path: string): Promise<ImageSource & { close(): Promise<void> }> {
  const file = await open(path)
  try {
    const { size: sizeBytes } = await file.stat()
    const extents = await extentsWithData(file, sizeBytes)
    return { sizeBytes, extents, bytes: bytesOf(file, extents), close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function extentsWithData(file: FileHandle, sizeBytes: number): Promise<Extent[]> {
  const extents: Extent[] = []
  const whole = [{ start: 0, bytes: sizeBytes }]
  let at = 0
  for await (const piece of bytesOf(file, whole, Buffer.allocUnsafe(readBytes))) {
    for (let offset = 0; offset < piece.length; offset += holeBytes) {
      const part = piece.subarray(offset, offset + holeBytes)
      if (!part.equals(zeros.subarray(0, part.length))) append(extents, at + offset, part.length)
    }
    at += piece.length
  }
  return extents
}

function append(extents: Extent[], start: number, bytes: number): void {
  const last = extents.at(-1)
  if (last && last.start + last.bytes === start) last.bytes += bytes
  else extents.push({ start, bytes })
}

/** With a buffer, every piece lies in it, and is gone when the next one comes. */
async function* bytesOf(file: FileHandle, extents: readonly Extent[], buffer?: Buffer): AsyncGenerator<Buffer> {
  for (const { start, bytes } of extents) {
    for (let done = 0; done < bytes; ) {
      const into = buffer ?? Buffer.allocUnsafe(Math.min(readBytes, bytes - done))
      const { bytesRead } = await file.read(into, 0, Math.min(into.length, bytes - done), start + done)
      if (bytesRead === 0) throw new Error('the disk became shorter while it was read')
      yield into.subarray(0, bytesRead)
      done += bytesRead
    }
  }
}
