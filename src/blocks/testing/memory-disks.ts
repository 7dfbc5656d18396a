/** Disks in memory, served as QEMU would serve them: captures of them are quick, and can be held up. */
import { onTestFinished } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { blockBytes } from '../format.ts'
import type { NbdExport } from '../nbd/exports.ts'
import { allocation } from '../nbd/protocol.ts'
import { NbdServer } from '../nbd/server.ts'
import { patternBlock } from './stores.ts'

/** The text that fills each block; the others are zeros. */
export type DiskTexts = ReadonlyMap<number, string>

export interface MemoryDisk {
  sizeBytes: number
  texts: DiskTexts
  /** Awaited before a block is given. */
  beforeRead?(block: number): Promise<void>
}

/** Serves disks by their names until the test is over. */
export async function serveDisks(socketPath: string, diskOf: (name: string) => Promise<MemoryDisk>): Promise<void> {
  const server = new NbdServer({ open: async (name) => exportOf(await diskOf(name)) }, silentLog)
  await server.listen(socketPath)
  onTestFinished(() => server.close())
}

function exportOf({ sizeBytes, texts, beforeRead }: MemoryDisk): NbdExport {
  return {
    sizeBytes,
    // Captures ask for one block at a time.
    async read(offsetBytes, lengthBytes) {
      const block = Math.floor(offsetBytes / blockBytes)
      await beforeRead?.(block)
      const text = texts.get(block)
      const from = offsetBytes - block * blockBytes
      return [{ lengthBytes, bytes: text ? patternBlock(text).subarray(from, from + lengthBytes) : null }]
    },
    async allocation(offsetBytes, lengthBytes) {
      const block = Math.floor(offsetBytes / blockBytes)
      const isData = texts.has(block)
      let end = block + 1
      while (end * blockBytes < offsetBytes + lengthBytes && texts.has(end) === isData) end++
      const reach = Math.min(end * blockBytes, offsetBytes + lengthBytes) - offsetBytes
      return [{ lengthBytes: reach, value: isData ? 0 : allocation.hole | allocation.zero }]
    },
    async close() {},
  }
}
