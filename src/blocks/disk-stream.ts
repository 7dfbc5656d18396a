/** A served disk as a stream of the bytes that it has: what the server says is zeros is not read, and not given. */
import { inOrder } from './concurrency.ts'
import { allocationContext, scanExtents } from './extent-map.ts'
import { blockBytes, blocksPerLeaf } from './format.ts'
import { connectNbd, type NbdClient } from './nbd/client.ts'
import type { CaptureSource, DiskExtent } from './ports.ts'

const readsAhead = 8

interface ServedSource {
  source: CaptureSource
  /** Of the whole disk. */
  sizeBytes: number
}

/** Where the disk has blocks that are not said to be zeros, in order; of a disk of zeros, its first block. */
export async function dataExtents(served: ServedSource, signal?: AbortSignal): Promise<DiskExtent[]> {
  const client = await connect(served, signal)
  try {
    const map = await scanExtents(client, null, signal)
    const extents: DiskExtent[] = []
    for (const leaf of map.leafIndexes) {
      for (const slot of map.slotsToRead(leaf)) {
        const start = (leaf * blocksPerLeaf + slot) * blockBytes
        const bytes = Math.min(blockBytes, served.sizeBytes - start)
        const last = extents.at(-1)
        if (last && last.start + last.bytes === start) last.bytes += bytes
        else extents.push({ start, bytes })
      }
    }
    return extents.length > 0 ? extents : [{ start: 0, bytes: Math.min(blockBytes, served.sizeBytes) }]
  } finally {
    await client.close()
  }
}

/** What lies in the extents, in order. Throws when the export has another size, or is lost. */
export async function* streamDisk(
  { extents, ...served }: ServedSource & { extents: readonly DiskExtent[] },
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const client = await connect(served, signal)
  try {
    yield* inOrder(pieces(extents), readsAhead, async ({ start, bytes }) => {
      const piece = Buffer.allocUnsafe(bytes)
      await client.readInto(piece, start)
      return piece
    })
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

async function* pieces(extents: readonly DiskExtent[]): AsyncGenerator<DiskExtent> {
  for (const { start, bytes } of extents) {
    for (let done = 0; done < bytes; done += blockBytes) {
      yield { start: start + done, bytes: Math.min(blockBytes, bytes - done) }
    }
  }
}
