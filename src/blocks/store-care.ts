/** {@link StoreCare} over the region stores: who may do what at once, and what the collector must not take. */
import type { Clock } from '../lib/clock.ts'
import { check, problemOf } from './check.ts'
import { collect } from './collector.ts'
import { difference, ownBytes } from './difference.ts'
import type { Collected, StoreCare } from './ports.ts'
import { StoreBusy } from './region-gate.ts'
import type { RegionStores } from './region-stores.ts'
import { measureUsage } from './usage.ts'
import { countedVolumes } from './volume-reads.ts'

/** How long writers may be barred while the collector waits for those under way to end. */
const aloneWithinMs = 30_000

const nothing = { roots: 0, leaves: 0, blocks: 0, otherFiles: 0, bytesFreed: 0 } satisfies Partial<Collected>

const foreign = (region: string) => ({
  reason: 'foreign' as const,
  message: `the store of ${region} belongs to another database, which alone knows what is needed there`,
})

export function createStoreCare(parts: { stores: RegionStores; statsDir: string; clock: Clock }): StoreCare {
  const { stores, statsDir, clock } = parts
  return {
    storedRegions: () => stores.names(),

    collect: ({ region, owner, graceMs, live }, progress = {}) => {
      const collecting = stores.caring(region, 'collected', async () => {
        const gate = stores.gate(region)
        const { signal } = progress
        const store = await stores.existing(region)
        if ((await store.ownedBy(owner)) !== owner) return { ...nothing, stopped: foreign(region) }
        return await collect(
          {
            store,
            // First what was handed out, then what is written down: what goes from one to the other is seen in one of them.
            live: async () => {
              const recent = stores.recent(region).all()
              const { roots, blocks } = await live()
              return { roots: [...recent.roots, ...roots], blocks: [...recent.blocks, ...blocks] }
            },
            keepAfterMs: graceMs > 0 ? clock.now() - graceMs : null,
            alone: (work) => gate.alone(work, { waitMs: aloneWithinMs, signal }),
            visits: () => gate.visits,
          },
          progress,
        )
      })
      return collecting.catch((error) => {
        if (error instanceof StoreBusy) return { ...nothing, stopped: { reason: 'busy', message: error.message } }
        throw error
      })
    },

    check: ({ region, live, repairFrom }, progress = {}) =>
      stores.caring(region, 'checked', () =>
        stores.holding([region, ...(repairFrom ?? [])], async () => {
          const store = await stores.existing(region)
          const others = repairFrom?.filter((one) => one !== region)
          const sources =
            others &&
            (await Promise.all(others.map(async (one) => ({ region: one, store: await stores.existing(one) }))))
          return await check({ store, live: await live(), sources: sources ?? null }, progress, clock)
        }),
      ),

    usage: ({ region, ...request }, progress = {}) =>
      stores.holding([region], async () =>
        measureUsage({ store: await stores.existing(region), ...request }, progress),
      ),

    difference: ({ region, before, after }) =>
      stores.holding([region], async () => difference(await stores.existing(region), before, after)),

    async ownBytes({ region, root, parent }) {
      const store = await stores.existing(region)
      try {
        return { bytes: await ownBytes(store, root, parent) }
      } catch (error) {
        return { flaw: `${problemOf(error)}: ${(error as Error).message}` }
      }
    },

    countedVolumes: () => countedVolumes(statsDir),
  }
}
