/** All of a served disk as a stream of bytes. What the server says is zeros is not read. */
import { inOrder } from './concurrency.ts'
import { allocationContext, scanExtents } from './extent-map.ts'
import { blockBytes, blocksIn, blocksPerLeaf, zeroBlock } from './format.ts'
import { connectNbd, type NbdClient } from './nbd/client.ts'
import type { CaptureSource } from './ports.ts'

const readsAhead = 8

interface ServedSource {
  source: CaptureSource
  /** Of the whole disk. */
  sizeBytes: number
}

/** Where the last block ends that is not said to be zeros; at least one block, and at most the disk's end. */
export async function dataEnd(served: ServedSource, signal?: AbortSignal): Promise<number> {
  const client = await connect(served, signal)
  try {
    const map = await scanExtents(client, null, signal)
    const leaf = map.leafIndexes.at(-1) ?? 0
    const slot = map.slotsToRead(leaf).at(-1) ?? 0
    return Math.min((leaf * blocksPerLeaf + slot + 1) * blockBytes, served.sizeBytes)
  } finally {
    await client.close()
  }
}

/** The disk up to `endBytes`. Pieces may share memory: nobody may write into them. Throws when the export has another size, or is lost. */
export async function* streamDisk(
  { endBytes, ...served }: ServedSource & { endBytes: number },
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const client = await connect(served, signal)
  try {
    const map = await scanExtents(client, null, signal)
    const read = async (block: number): Promise<Buffer> => {
      const lengthBytes = Math.min(blockBytes, endBytes - block * blockBytes)
      const fate = map.fateOf(Math.floor(block / blocksPerLeaf), block % blocksPerLeaf)
      if (fate === 'zero') return zeroBlock.subarray(0, lengthBytes)
      const piece = Buffer.allocUnsafe(lengthBytes)
      await client.readInto(piece, block * blockBytes)
      return piece
    }
    yield* inOrder(upTo(blocksIn(endBytes)), readsAhead, read)
  } finally {
    await client.close()
  }
}

async function connect({ source, sizeBytes }: ServedSource, signal: AbortSignal | undefined): Promise<NbdClient> {
  const client = await connectNbd({ ...source, contexts: [allocationContext], signal })
  if (client.sizeBytes === sizeBytes) return client
  await client.close()
  throw new Error(`the export has ${client.sizeBytes} bytes, the disk should have ${sizeBytes}`)
}

async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i
}
