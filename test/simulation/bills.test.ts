/**
 * Random months, lived through on the real cloud with simulated machines: the bill is what a plain model says, exactly.
 * `KILN_SEEDS=n` lives through n of them, from seed 1 or `KILN_FIRST_SEED` on; `KILN_SEED=n` through that one again.
 */
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/lib/random.ts'
import { LivedAccount } from '../support/lived-account.ts'
import { modelPrices, prices } from '../support/odd-prices.ts'

const { KILN_SEED, KILN_SEEDS = '2', KILN_FIRST_SEED = '1' } = process.env
const [firstSeed, seeds] = KILN_SEED ? [Number(KILN_SEED), 1] : [Number(KILN_FIRST_SEED), Number(KILN_SEEDS)]
const stepsPerLife = 40
/** A life waits for programs and files most of the time, so that others can be lived meanwhile. */
const livesAtOnce = 2
const waits = [0, 1, 30, 59, 60, 61, 3599, 3600, 3601, 20_000, 86_400, 200_000, 300_000]

test(
  `${seeds} months at random cost what the model says, to the last fraction`,
  async () => {
    let next = firstSeed
    const lane = async () => {
      while (next < firstSeed + seeds) await liveMonth(next++)
    }
    await Promise.all(Array.from({ length: livesAtOnce }, lane))
  },
  120_000 + seeds * 60_000,
)

async function liveMonth(seed: number): Promise<void> {
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
}

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
