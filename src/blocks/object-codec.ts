/** How an object's content lies in a store: a codec byte, then the payload. The same bytes in every driver. */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import { contentBytesMax, hashOf } from './format.ts'
import { CorruptObject, type Hash, type ObjectKind } from './store.ts'

const codecRaw = 0
const codecZstd = 1
/** Unpacking costs every reader time, so content is packed only when that saves at least eight per cent. */
const worthwhileRatio = 0.92

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** No stored object of that kind is longer. */
export function encodedBytesMax(kind: ObjectKind): number {
  return contentBytesMax[kind] + 1
}

/** `quick` while somebody waits for a snapshot; `hard` for what is archived. Unpacking takes the same time for both. */
export type PackingEffort = keyof typeof zstdLevels
const zstdLevels = { quick: 1, hard: 19 } as const

/** Packs content with zstd (in the thread pool) when that saves enough, and leaves it raw otherwise. */
export async function encodeObject(content: Buffer, effort: PackingEffort = 'quick'): Promise<Buffer> {
  const packed = await compress(content, {
    // One output chunk, so that nothing is joined afterwards.
    chunkSize: content.length + 1024,
    pledgedSrcSize: content.length,
    params: { [constants.ZSTD_c_compressionLevel]: zstdLevels[effort] },
  })
  const worthwhile = packed.length < content.length * worthwhileRatio
  return Buffer.concat([Buffer.of(worthwhile ? codecZstd : codecRaw), worthwhile ? packed : content])
}

/** The content of a stored object, checked against its name. Throws {@link CorruptObject}; `where` names the store. */
export async function decodeObject(kind: ObjectKind, name: Hash, encoded: Buffer, where: string): Promise<Buffer> {
  if (encoded.length < 2) throw new CorruptObject(kind, name, where, `it has only ${encoded.length} bytes`)
  const content = await unpack(kind, encoded).catch((error: Error) => {
    throw new CorruptObject(kind, name, where, error.message)
  })
  if (kind === 'block' && content.length !== contentBytesMax.block)
    throw new CorruptObject(kind, name, where, `it unpacks to ${content.length} bytes`)
  if (hashOf(content) !== name) throw new CorruptObject(kind, name, where, 'its content does not have this hash')
  return content
}

async function unpack(kind: ObjectKind, encoded: Buffer): Promise<Buffer> {
  const payload = encoded.subarray(1)
  switch (encoded[0]) {
    case codecRaw:
      return payload
    case codecZstd:
      // The bound stops a small damaged or hostile object from unpacking to gigabytes.
      return await decompress(payload, {
        maxOutputLength: contentBytesMax[kind],
        chunkSize: Math.min(contentBytesMax[kind], 512 * 1024),
      })
    default:
      throw new Error(`codec ${encoded[0]} is unknown`)
  }
}
