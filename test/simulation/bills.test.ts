/**
 * Random months, lived through on the real cloud with simulated machines: the bill is what a plain model says, exactly.
 * `KILN_SEEDS=n` lives through n of them, `KILN_SEED=n` through that one again.
 */
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/lib/random.ts'
import { LivedAccount } from '../support/lived-account.ts'
import { modelPrices, prices } from '../support/odd-prices.ts'

const only = process.env.KILN_SEED
const seeds = only ? [Number(only)] : Array.from({ length: Number(process.env.KILN_SEEDS ?? 2) }, (_, i) => i + 1)
const stepsPerLife = 40
const waits = [0, 1, 30, 59, 60, 61, 3599, 3600, 3601, 20_000, 86_400, 200_000, 300_000]

test.each(seeds)('seed %i: a month at random costs what the model says, to the last fraction', async (seed) => {
  const random = seededRandom(seed)
  const beginS = Date.UTC(2026, 5, 20, 7, 30, 17) / 1000
  const life = await LivedAccount.begin({ random, prices, modelPrices, beginS })
  try {
    for (let step = 0; step < stepsPerLife; step++) {
      await life.step()
      await expectNothingMissed(life)
      await life.pass(life.pick(waits)!)
    }
    await expectBill(life)
  } catch (error) {
    throw new Error(`KILN_SEED=${seed}\n${life.done.join('\n')}`, { cause: error })
  } finally {
    await life.end()
  }
})

/** Whoever changed a row has followed it with its meters. */
async function expectNothingMissed({ on, model }: LivedAccount): Promise<void> {
  const all = async () => {
    const records = []
    for await (const record of on.deps.state.usage.records({ fromS: 0, toS: 1e11 }, model.wallS)) records.push(record)
    return records
  }
  const before = await all()
  await on.deps.state.usage.followAll()
  expect(await all()).toEqual(before)
}

async function expectBill({ on, model }: LivedAccount): Promise<void> {
  const [fromS, toS] = [Date.UTC(2026, 4, 1) / 1000, Date.UTC(2028, 0, 1) / 1000]
  const query = { fromS, toS, granularity: 'total' } as const
  const report = await on.cloud.costs.report({ ...query, groupBy: ['resource', 'usage-type'] })
  const priced = report.groups.filter(({ cost }) => cost.n !== 0n)
  const bill = Object.fromEntries(priced.map(({ keys, cost }) => [keys.join(' '), `${cost.n}/${cost.d}`]))
  expect(bill).toEqual(model.bill())
  expect(Object.keys(bill).length).toBeGreaterThan(0)
  const fromDays = await on.cloud.costs.report({ ...query, groupBy: ['usage-type'] })
  expect(`${fromDays.total.n}/${fromDays.total.d}`).toBe(`${report.total.n}/${report.total.d}`)
}
