/** All of a served disk as a stream of bytes. What the server says is zeros is not read. */
import { inOrder } from './concurrency.ts'
import { allocationContext, scanExtents } from './extent-map.ts'
import { blockBytes, blocksIn, blocksPerLeaf, zeroBlock } from './format.ts'
import { connectNbd } from './nbd/client.ts'
import type { CaptureSource } from './ports.ts'

const readsAhead = 8

/** Pieces may share memory: nobody may write into them. Throws when the export has another size, or is lost. */
export async function* streamDisk(
  { source, sizeBytes }: { source: CaptureSource; sizeBytes: number },
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const client = await connectNbd({ ...source, contexts: [allocationContext], signal })
  try {
    if (client.sizeBytes !== sizeBytes) {
      throw new Error(`the export has ${client.sizeBytes} bytes, the disk should have ${sizeBytes}`)
    }
    const map = await scanExtents(client, null, signal)
    const read = async (block: number): Promise<Buffer> => {
      const lengthBytes = Math.min(blockBytes, sizeBytes - block * blockBytes)
      const fate = map.fateOf(Math.floor(block / blocksPerLeaf), block % blocksPerLeaf)
      if (fate === 'zero') return zeroBlock.subarray(0, lengthBytes)
      const piece = Buffer.allocUnsafe(lengthBytes)
      await client.readInto(piece, block * blockBytes)
      return piece
    }
    yield* inOrder(upTo(blocksIn(sizeBytes)), readsAhead, read)
  } finally {
    await client.close()
  }
}

async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i
}
