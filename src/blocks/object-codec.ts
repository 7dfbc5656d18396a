/** How an object's content lies in a store: a codec byte, then the payload. The same bytes in every driver. */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import { contentBytesMax, hashOf } from './format.ts'
import { looksPacked } from './packing-sample.ts'
import { CorruptObject, type Hash, type ObjectKind } from './store.ts'

const codecRaw = 0
const codecZstd = 1
/** The content is a sealed block, which nothing packs any further: see `sealed-block.ts`. */
const codecSealed = 2
/** Unpacking costs every reader time, so content is packed only when that saves at least eight per cent. */
const worthwhileRatio = 0.92

/** The largest object, a root of five megabytes, fits into a window of 8 MiB. */
const windowLogMax = 23

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** Nonce, codec byte, a block that does not pack, tag. */
const sealedBytesMax = 12 + 1 + contentBytesMax.block + 16

/** No stored object of that kind is longer. */
export function encodedBytesMax(kind: ObjectKind): number {
  return 1 + (kind === 'block' ? sealedBytesMax : contentBytesMax[kind])
}

/** `quick` while somebody waits for a snapshot; `hard` for what is archived. Unpacking takes the same time for both. */
export type PackingEffort = keyof typeof zstdLevels
const zstdLevels = { quick: 1, hard: 19 } as const

/** Packs content with zstd (in the thread pool) when that saves enough, and leaves it raw otherwise. */
export async function encodeObject(content: Buffer, effort: PackingEffort = 'quick'): Promise<Buffer> {
  if (effort === 'quick' && (await looksPacked(content))) return Buffer.concat([Buffer.of(codecRaw), content])
  const packed = await compress(content, {
    // One output chunk, so that nothing is joined afterwards.
    chunkSize: content.length + 1024,
    pledgedSrcSize: content.length,
    params: { [constants.ZSTD_c_compressionLevel]: zstdLevels[effort] },
  })
  const worthwhile = packed.length < content.length * worthwhileRatio
  return Buffer.concat([Buffer.of(worthwhile ? codecZstd : codecRaw), worthwhile ? packed : content])
}

/** A sealed block as it is stored; its name is the hash of the sealed bytes. */
export function encodeSealed(sealed: Buffer): Buffer {
  return Buffer.concat([Buffer.of(codecSealed), sealed])
}

export function isSealed(encoded: Buffer): boolean {
  return encoded[0] === codecSealed
}

/** What {@link encodeObject} packed into a sealed block. Throws {@link CorruptObject} unless it is exactly a block. */
export async function unpackBlock(packed: Buffer, name: Hash, where: string): Promise<Buffer> {
  if (packed[0] === codecSealed) throw new CorruptObject('block', name, where, 'it is sealed twice')
  const content = await unpack('block', packed).catch((error: Error) => {
    throw new CorruptObject('block', name, where, error.message)
  })
  if (content.length === contentBytesMax.block) return content
  throw new CorruptObject('block', name, where, `it unpacks to ${content.length} bytes`)
}

/** The content of a stored object (of a sealed block: the sealed bytes), checked against its name. Throws {@link CorruptObject}; `where` names the store. */
export async function decodeObject(kind: ObjectKind, name: Hash, encoded: Buffer, where: string): Promise<Buffer> {
  if (encoded.length < 2) throw new CorruptObject(kind, name, where, `it has only ${encoded.length} bytes`)
  const content = await unpack(kind, encoded).catch((error: Error) => {
    throw new CorruptObject(kind, name, where, error.message)
  })
  if (kind === 'block' && (content.length === contentBytesMax.block) === isSealed(encoded))
    throw new CorruptObject(kind, name, where, `it unpacks to ${content.length} bytes`)
  if (hashOf(content) !== name) throw new CorruptObject(kind, name, where, 'its content does not have this hash')
  return content
}

async function unpack(kind: ObjectKind, encoded: Buffer): Promise<Buffer> {
  const payload = encoded.subarray(1)
  switch (encoded[0]) {
    case codecRaw:
      return payload
    case codecSealed:
      if (kind === 'block') return payload
      throw new Error(`a ${kind} cannot be sealed`)
    case codecZstd:
      // The bound stops a small damaged or hostile object from unpacking to gigabytes.
      return await decompress(payload, {
        maxOutputLength: contentBytesMax[kind],
        chunkSize: Math.min(contentBytesMax[kind], 512 * 1024),
        // Nothing here is packed with a larger window; a frame that asks for one only asks for memory.
        params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
      })
    default:
      throw new Error(`codec ${encoded[0]} is unknown`)
  }
}
