/** Writes the tar archive inside a bundle: what stands before the image's bytes, and behind them. */
import {
  blockBytes,
  type Extent,
  endBytes,
  padding,
  sizeAt,
  sparseExtension,
  sparseHeader,
  sparseMax,
  typeAt,
  writeChecksum,
  writeExtents,
  writeNumber,
} from './tar-format.ts'

/**
 * An archive with one regular file of `sizeBytes`. With `extents` (in order, each but the last of whole blocks of 512 bytes)
 * only what they hold of it stands between both parts; without, all of it.
 */
export function archiveAround(
  name: string,
  sizeBytes: number,
  extents?: readonly Extent[],
): { before: Buffer; after: Buffer } {
  const storedBytes = extents ? extents.reduce((sum, { bytes }) => sum + bytes, 0) : sizeBytes
  const isSparse = storedBytes < sizeBytes
  const header = Buffer.alloc(blockBytes)
  header.write(name, 0, 100, 'utf8')
  header.write('0000644\0', 100, 'latin1')
  header.write('0000000\0', 108, 'latin1')
  header.write('0000000\0', 116, 'latin1')
  writeNumber(header, storedBytes, sizeAt)
  header.write('00000000000\0', 136, 'latin1')
  header.write(isSparse ? 'S' : '0', typeAt, 'latin1')
  header.write('ustar  \0', 257, 'latin1')
  const lists = isSparse ? listHoles(header, sizeBytes, extents!) : []
  writeChecksum(header)
  return { before: Buffer.concat([header, ...lists]), after: Buffer.alloc(padding(storedBytes) + endBytes) }
}

/** Lists the extents in the header, and in the blocks that it gives back, which follow the header. */
function listHoles(header: Buffer, sizeBytes: number, extents: readonly Extent[]): Buffer[] {
  const last = extents.at(-1)
  // What ends with a hole has an empty extent there: tar makes the file as long as the last one says.
  const listed = last && last.start + last.bytes === sizeBytes ? extents : [...extents, { start: sizeBytes, bytes: 0 }]
  if (listed.length > sparseMax) throw new Error(`an image of ${listed.length} pieces with holes between them`)
  writeNumber(header, sizeBytes, sparseHeader.realSizeAt)
  writeExtents(header, sparseHeader, listed.slice(0, sparseHeader.count))
  const blocks: Buffer[] = []
  let before: { block: Buffer; isExtendedAt: number } = { block: header, isExtendedAt: sparseHeader.isExtendedAt }
  for (let at = sparseHeader.count; at < listed.length; at += sparseExtension.count) {
    before.block[before.isExtendedAt] = 1
    const block = Buffer.alloc(blockBytes)
    writeExtents(block, sparseExtension, listed.slice(at, at + sparseExtension.count))
    blocks.push(block)
    before = { block, isExtendedAt: sparseExtension.isExtendedAt }
  }
  return blocks
}
