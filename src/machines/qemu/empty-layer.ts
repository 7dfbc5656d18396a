/**
 * Empty layers of one size are the same, byte for byte. So qemu-img makes one of each size, and the others are copies:
 * starting a program holds up the process that starts it (by a tenth of a second where two cores are busy), and fifty
 * launches need fifty layers at once.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { run } from '../../lib/programs.ts'

/**
 * Clusters without subclusters (`extended_l2`). Those would make a guest's first small writes over a lazily served base
 * five times as fast, but QEMU before 8.2 ends with a failed assertion when copy-on-read meets a cluster of which only a
 * part is written.
 */
const layerOptions = 'cluster_size=64k,extended_l2=off'
/** By size in bytes. One takes 200 KiB, of the largest volumes 1.2 MiB. */
const emptyLayers = new LRUCache<number, Promise<Buffer>>({ max: 16 })

/** Makes the file, which must not be there; not yet on stable storage. */
export async function writeEmptyLayer(path: string, sizeBytes: number): Promise<void> {
  const known = emptyLayers.get(sizeBytes)
  if (known) return await writeFile(path, await known, { flag: 'wx', mode: 0o600 })
  const making = makeLayer(path, sizeBytes)
  emptyLayers.set(sizeBytes, making)
  try {
    await making
  } catch (error) {
    emptyLayers.delete(sizeBytes)
    throw error
  }
}

async function makeLayer(path: string, sizeBytes: number): Promise<Buffer> {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', layerOptions, path, String(sizeBytes)])
  return await readFile(path)
}
