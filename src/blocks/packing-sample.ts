/**
 * Trying to pack what cannot be packed takes longer than packing what can, and half of many disks is packed already
 * (archives, pictures, programs). So a few pieces of a block are tried first.
 */
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'

const compress = promisify(zstdCompress)

/** Spread evenly: a stretch of an eighth of the block that packs well is always seen. */
const pieces = 8
const pieceBytes = 2048
/** A sample of noise grows by a few bytes; one in which anything repeats shrinks by far more. */
const hopelessRatio = 0.98
const sampleBytes = pieces * pieceBytes
/** Told the length, zstd takes memory for that much and no more. */
const options = {
  chunkSize: sampleBytes + 1024,
  pledgedSrcSize: sampleBytes,
  params: { [constants.ZSTD_c_compressionLevel]: 1 },
}

/** Whether it can be told from a sample that packing would save nothing worth having. */
export async function looksPacked(content: Buffer): Promise<boolean> {
  if (content.length < 4 * sampleBytes) return false
  const sample = Buffer.allocUnsafe(sampleBytes)
  for (let piece = 0; piece < pieces; piece++) {
    const from = Math.floor((piece * content.length) / pieces)
    content.copy(sample, piece * pieceBytes, from, from + pieceBytes)
  }
  return (await compress(sample, options)).length > sampleBytes * hopelessRatio
}
