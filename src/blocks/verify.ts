/** Reads a whole snapshot: every block is unpacked and checked against its name. */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import type { Progress } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

const lanes = 4

/** Throws MissingObject and CorruptObject. */
export async function verifySnapshot(store: BlockStore, hash: Hash, progress: Progress, clock: Clock): Promise<void> {
  const root = await readRoot(store, hash)
  const meter = new ProgressMeter(infoOf(root).blockCount, progress, clock)
  for (const ref of root.leaves) {
    const leaf = await readLeaf(store, ref, root.sizeBytes)
    await eachAtOnce(
      leaf.hashes(),
      lanes,
      async (block) => {
        await store.read('block', block)
        meter.advance(1)
      },
      progress.signal,
    )
  }
  await meter.finish()
}
