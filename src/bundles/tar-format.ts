/**
 * What reading and writing share of the tar archive inside a bundle: GNU tar's form, with one regular file, the image. Holes
 * of the image may be left out of it and listed in the header (type `S`, as `tar -S` writes it). Source: "Basic Tar Format"
 * and "Storing Sparse Files" (old GNU format) in the GNU tar manual.
 */
import { BadBundle } from './bad-bundle.ts'

/** What the archive holds of the image; what lies between such pieces is zeros. */
export interface Extent {
  /** Byte of the image. */
  start: number
  bytes: number
}

export const blockBytes = 512
/** The end of an archive are two blocks of zeros. */
export const endBytes = 2 * blockBytes
export const sizeAt = 124
export const typeAt = 156
/** More holes than that are not read, nor written. */
export const sparseMax = 1_000_000
/** Where the header lists extents, says that a block with more of them follows, and has the size with the holes. */
export const sparseHeader = { at: 386, count: 4, isExtendedAt: 482, realSizeAt: 483 }
export const sparseExtension = { at: 0, count: 21, isExtendedAt: 504 }

const checksum = { at: 148, end: 156 }
const numberBytes = 12

export const padding = (bytes: number) => (blockBytes - (bytes % blockBytes)) % blockBytes

export function hasItsChecksum(header: Buffer): boolean {
  return checksumOf(header) === Number.parseInt(header.toString('latin1', checksum.at, checksum.end), 8)
}

export function writeChecksum(header: Buffer): void {
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, checksum.at, 'latin1')
}

function checksumOf(header: Buffer): number {
  let sum = 8 * 0x20
  for (const [at, byte] of header.entries()) if (at < checksum.at || at >= checksum.end) sum += byte
  return sum
}

export function extentsIn(block: Buffer, list: { at: number; count: number }): Extent[] {
  const extents: Extent[] = []
  for (let index = 0; index < list.count; index += 1) {
    const at = list.at + index * 2 * numberBytes
    if (block[at] === 0) break
    extents.push({ start: readNumber(block, at), bytes: readNumber(block, at + numberBytes) })
  }
  return extents
}

export function writeExtents(block: Buffer, list: { at: number }, extents: readonly Extent[]): void {
  for (const [index, { start, bytes }] of extents.entries()) {
    const at = list.at + index * 2 * numberBytes
    writeNumber(block, start, at)
    writeNumber(block, bytes, at + numberBytes)
  }
}

/** Octal text, or for what does not fit in it big-endian with the highest bit set. */
export function readNumber(block: Buffer, at: number): number {
  if (block[at]! & 0x80) {
    let value = 0n
    for (const byte of block.subarray(at + 1, at + numberBytes)) value = (value << 8n) | BigInt(byte)
    if (block[at] !== 0x80 || value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new BadBundle('the archive has a size that cannot be')
    return Number(value)
  }
  const text = block
    .toString('latin1', at, at + numberBytes)
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(text)) throw new BadBundle('the archive has a size that cannot be')
  return Number.parseInt(text || '0', 8)
}

export function writeNumber(block: Buffer, value: number, at: number): void {
  if (value < 8 ** (numberBytes - 1)) {
    block.write(`${value.toString(8).padStart(numberBytes - 1, '0')}\0`, at, 'latin1')
    return
  }
  block[at] = 0x80
  block.writeBigUInt64BE(BigInt(value), at + numberBytes - 8)
}
