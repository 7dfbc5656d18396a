/**
 * What snapshots are charged for, whatever is done to them. `KILN_SEED=n` does a failing sequence again, but for the ids.
 */
import { test } from 'vitest'
import { randomInt, seededRandom, systemRandom } from '../../src/lib/random.ts'
import type { Texts } from '../support/charge-model.ts'
import { account, away, region, useChargedAccount } from '../support/charged-account.ts'

const on = useChargedAccount()
const seed = Number(process.env.KILN_SEED ?? randomInt(systemRandom, 1_000_000))

test('whatever is made, copied, archived and deleted, each is charged for what its nearest ancestor does not have', async () => {
  const random = seededRandom(seed)
  const pick = <T>(items: readonly T[]): T => items[randomInt(random, items.length)]!
  let text = 0
  const texts = (): Texts => Object.fromEntries([1, 2].map(() => [randomInt(random, 12), `${seed} ${text++}`]))
  const usable = (at: string) => on.model.snapshots.filter((one) => one.lives && one.place === `${account} ${at}`)
  const volumes = [await on.volumeOf(await on.upload(texts())), await on.volumeOf(await on.upload(texts()))]
  const steps: Record<string, () => Promise<unknown>> = {
    upload: async () => on.upload(texts(), pick([null, ...usable(region)])),
    snapshot: async () => {
      const volume = pick(volumes)
      await on.write(volume, texts())
      await on.snapshotOf(volume)
    },
    volume: async () => usable(region).length > 0 && volumes.push(await on.volumeOf(pick(usable(region)))),
    copy: async () => usable(region).length > 0 && on.copy(pick(usable(region))),
    copyBack: async () => usable(away).length > 0 && on.copy(pick(usable(away)), { to: region }),
    copyHere: async () => usable(region).length > 0 && on.copy(pick(usable(region)), { to: region }),
    archive: async () => usable(region).length > 0 && on.archive(pick(usable(region))),
    delete: async () => {
      const all = [...usable(region), ...usable(away)]
      const gone = new Set(all.length > 0 ? [pick(all), pick(all)] : [])
      await Promise.all([...gone].map((one) => on.remove(one)))
    },
  }
  const often = [...Object.keys(steps), 'snapshot', 'snapshot', 'delete', 'delete', 'upload', 'copy']
  const done: string[] = []
  for (let step = 0; step < 60; step++) {
    const name = pick(often)
    done.push(name)
    await steps[name]!()
    await on.expectCharges().catch((error) => {
      throw new Error(`seed ${seed}, after ${done.join(', ')}`, { cause: error })
    })
  }
})
