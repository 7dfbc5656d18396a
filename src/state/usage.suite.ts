/** What the state promises of usage: days, events and meters come to the same, and to what a plain model says. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { randomInt, seededRandom } from '../lib/random.ts'
import type { Repositories, State } from './state.ts'
import type { ChargeRules, MeteringOptions } from './usage/metering.ts'
import type { UsageDay } from './usage/usage.ts'
import { countedWithin, dayOf, daySeconds } from './usage/usage-time.ts'
import { emptyLayer, volume } from './volumes.suite.ts'

/** Volumes stand for everything: their type is the usage type, their size is how much of it. */
const rules: ChargeRules = {
  instance: () => ({}),
  volume: ({ volumeType, sizeGib }) => ({ [volumeType]: sizeGib }),
  snapshot: () => ({}),
  fastRestore: () => ({}),
  address: () => ({}),
  elasticAddress: () => ({}),
  bucket: () => null,
  minimumTimes: { archive: { seconds: 90 * daySeconds, usageType: 'archive-early' } },
}

const startMs = Date.UTC(2026, 9, 30, 22, 30, 17, 250)

class TestTime {
  /** What the clock says, and how long the host has been up. */
  wallMs = startMs
  upMs = 5000
  #bootId = 1
  /** For a process that starts now. */
  metering(): MeteringOptions {
    const uptime = { bootId: `boot ${this.#bootId}`, uptimeMs: () => this.upMs }
    return { clock: { now: () => this.wallMs }, uptime, rules }
  }
  pass(ms: number) {
    this.wallMs += ms
    this.upMs += ms
  }
  set(byMs: number) {
    this.wallMs += byMs
  }
  /** The host starts again. */
  reboot() {
    this.upMs = 1000
    this.#bootId += 1
  }
  get nowS() {
    return Math.floor(this.wallMs / 1000)
  }
}

/** Lives through time a stretch at a time, and counts what each run has come to at the end of each. */
class PlainModel {
  readonly days = new Map<string, { exact: bigint; bySecond: bigint; byHour: bigint }>()
  readonly #runs = new Map<string, { type: string; quantity: number; livedS: number; minute: number; hours: number }>()

  set(id: string, type: string, quantity: number, nowS: number) {
    const run = this.#runs.get(id)
    if (run?.type === type && quantity > 0) {
      run.quantity = quantity
      return
    }
    this.#runs.delete(id)
    if (quantity === 0) return
    const begun = { type, quantity, livedS: 0, minute: 60, hours: 1 }
    this.#runs.set(id, begun)
    this.#add(begun, nowS, { exact: 0, bySecond: 60, byHour: 3600 })
  }

  pass(fromS: number, toS: number) {
    for (let at = fromS; at < toS; ) {
      const end = Math.min(toS, (dayOf(at) + 1) * daySeconds)
      for (const run of this.#runs.values()) {
        run.livedS += end - at
        const minute = Math.max(60, run.livedS)
        const hours = Math.max(1, Math.ceil(run.livedS / 3600))
        this.#add(run, at, { exact: end - at, bySecond: minute - run.minute, byHour: (hours - run.hours) * 3600 })
        Object.assign(run, { minute, hours })
      }
      at = end
    }
  }

  #add(run: { type: string; quantity: number }, atS: number, s: { exact: number; bySecond: number; byHour: number }) {
    const key = `${dayOf(atS)} ${run.type}`
    const sum = this.days.get(key) ?? { exact: 0n, bySecond: 0n, byHour: 0n }
    for (const way of ['exact', 'bySecond', 'byHour'] as const) sum[way] += BigInt(run.quantity) * BigInt(s[way])
    this.days.set(key, sum)
  }
}

const hourly = () => 'hour' as const

export interface MeteredPlace {
  open(metering: MeteringOptions): Promise<State>
  /** What is there now is what is found from now on, as after `kill -9`, whatever the processes of before still do. */
  kill(): Promise<void>
}

/** Seeds that share a database. */
const seedsPerTest = 20

export function usageSuite(name: string, { open, kill }: MeteredPlace): void {
  describe(`usage on ${name}`, () => {
    let time: TestTime
    let state: State
    beforeEach(async () => {
      time = new TestTime()
      state = await open(time.metering())
      await state.usage.noteClock()
    })
    afterEach(() => state.close())

    const everyDay = () => state.usage.days({ fromDay: 0, toDay: 1e6 }, time.nowS, hourly)
    const add = (id: string, volumeType: string, sizeGib: number) =>
      state.volumes.insert(volume(id, { volumeType, sizeGib }), emptyLayer(id))

    /** The same as days, out of events and meters. */
    async function fromRecords(fromDay = 0): Promise<UsageDay[]> {
      const sums = new Map<string, UsageDay>()
      for await (const record of state.usage.records({ fromS: fromDay * daySeconds, toS: 1e11 }, time.nowS)) {
        const { accountId, region, usageType, span, quantity, amount } = record
        for (let day = Math.max(fromDay, dayOf(span.fromS)); day <= dayOf(span.toS); day++) {
          const window = { fromS: day * daySeconds, toS: (day + 1) * daySeconds }
          const seconds = countedWithin(span, window)
          const key = `${day} ${usageType}`
          const sum = sums.get(key) ?? { accountId, region, usageType, day, exact: 0n, bySecond: 0n, byHour: 0n }
          for (const way of ['exact', 'bySecond', 'byHour'] as const) {
            sum[way] += amount ?? BigInt(quantity) * BigInt(seconds[way])
          }
          sums.set(key, sum)
        }
      }
      return [...sums.values()].filter(({ exact, bySecond, byHour }) => exact || bySecond || byHour)
    }

    const sorted = (days: UsageDay[]) =>
      [...days].sort((a, b) => (`${a.day} ${a.usageType}` < `${b.day} ${b.usageType}` ? -1 : 1))

    test('an hour begun is an hour where hours are counted, a run of nothing a minute where seconds are', async () => {
      await add('vol-1', 'box', 1)
      time.pass(59_400)
      expect(await everyDay()).toMatchObject([{ exact: 59n, bySecond: 60n, byHour: 3600n }])
      await state.volumes.remove('vol-1')
      await add('vol-2', 'box', 1)
      await state.volumes.remove('vol-2')
      time.pass(3600_000)
      expect(await everyDay()).toMatchObject([{ exact: 59n, bySecond: 120n, byHour: 7200n }])
    })

    test('what is changed and taken back by a failure was never used', async () => {
      await add('vol-1', 'box', 10)
      time.pass(10_000)
      const failing = state.transaction(async (tx) => {
        await tx.volumes.update('vol-1', { sizeGib: 99 })
        throw new Error('stop here')
      })
      await expect(failing).rejects.toThrow('stop here')
      time.pass(10_000)
      expect((await everyDay())[0]?.exact).toBe(200n)
    })

    test('what is charged for longer than it lasts is charged for the rest at its end', async () => {
      await add('vol-1', 'archive', 4)
      time.pass(daySeconds * 1000)
      await state.volumes.remove('vol-1')
      const days = await everyDay()
      const early = days.find(({ usageType }) => usageType === 'archive-early')
      expect(early?.exact).toBe(4n * 89n * BigInt(daySeconds))
      await add('vol-2', 'archive', 4)
      time.pass(90 * daySeconds * 1000)
      await state.volumes.remove('vol-2')
      expect((await everyDay()).filter(({ usageType }) => usageType === 'archive-early')).toHaveLength(1)
    })

    test('what ended before it was noticed is charged until it ended', async () => {
      await add('vol-1', 'box', 3)
      time.pass(5 * 3600_000)
      await state.transaction(async (tx) => {
        await tx.usage.endAt('vol-1', { atS: time.nowS - 4 * 3600 - 100, isEstimated: true })
        await tx.volumes.remove('vol-1')
      })
      const sum = (await everyDay()).reduce((total, { exact }) => total + exact, 0n)
      expect(sum).toBe(3n * (3600n - 100n))
      const records = []
      for await (const record of state.usage.records({ fromS: 0, toS: 1e11 }, time.nowS)) records.push(record)
      expect(records).toMatchObject([{ isEstimated: true, quantity: 3 }])
      expect(sorted(await everyDay())).toEqual(sorted(await fromRecords()))
    })

    test('resources are known by their tags after their end', async () => {
      await add('vol-1', 'box', 1)
      const resource = { id: 'vol-1', type: 'volume', accountId: '111122223333', region: 'eu-west-1' }
      await state.tags.put(resource, [{ key: 'team', value: 'blue' }])
      await state.volumes.remove('vol-1')
      await state.tags.removeAll('vol-1')
      expect((await state.usage.resources(['vol-1', 'vol-2'])).get('vol-1')).toMatchObject({ tags: { team: 'blue' } })
    })

    const seeds = Number(process.env.KILN_SEEDS ?? 20)
    const firsts = Array.from({ length: Math.ceil(seeds / seedsPerTest) }, (_, at) => 1 + at * seedsPerTest)
    test.each(firsts)('random lives from seed %i on', async (first) => {
      const last = Math.min(seeds, first + seedsPerTest - 1)
      for (let seed = first; seed <= last; seed++) await liveThrough(seed)
    })

    /** In the middle of a change, which never was therefore. */
    async function killAndOpen(change: (tx: Repositories) => Promise<void>, meanwhile: () => void) {
      const killed = state.transaction(async (tx) => {
        await change(tx)
        await kill()
        throw new Error('killed')
      })
      await expect(killed).rejects.toThrow('killed')
      await state.close()
      meanwhile()
      state = await open(time.metering())
      await state.usage.noteClock()
    }

    /** Each begins long after the one before, and however often its clock is set back, it comes to no day of that. */
    async function liveThrough(seed: number) {
      time.pass(80 * daySeconds * 1000)
      await state.usage.noteClock()
      const fromDay = dayOf(time.nowS) - 35
      const random = seededRandom(seed)
      const dice = (sides: number) => randomInt(random, sides)
      const model = new PlainModel()
      const there = new Map<string, { type: string; size: number }>()
      const pass = (ms: number) => {
        const fromS = time.nowS
        time.pass(ms)
        model.pass(fromS, time.nowS)
      }
      // Whole seconds: the model counts in them.
      const waits = [0, 1, 30, 59, 60, 61, 3599, 3600, 3601, 20_000, 86_400, 200_000]
      for (let step = 0; step < 30; step++) {
        pass(waits[dice(waits.length)]! * 1000)
        const id = `vol-${seed}-${dice(4)}`
        const about = there.get(id)
        const [type, size] = [['box', 'disk', 'rare'][dice(3)]!, 1 + dice(1000)]
        switch (dice(7)) {
          case 0:
          case 1:
            if (about) break
            await state.volumes.insert(volume(id, { volumeType: type, sizeGib: size }), emptyLayer(id))
            there.set(id, { type, size })
            model.set(id, type, size, time.nowS)
            break
          case 2:
            if (!about) break
            await state.volumes.update(id, { volumeType: type, sizeGib: size })
            there.set(id, { type, size })
            model.set(id, type, size, time.nowS)
            break
          case 3:
            if (!about) break
            await state.volumes.remove(id)
            there.delete(id)
            model.set(id, about.type, 0, time.nowS)
            break
          case 4:
            // The clock is set, and that is noticed when time or a write is noted next.
            time.set((dice(2) === 0 ? -1 : 1) * [3, 500, 7200, 90_000][dice(4)]! * 1000)
            if (about && dice(2) === 0) {
              await state.volumes.update(id, { volumeType: type, sizeGib: size })
              there.set(id, { type, size })
              model.set(id, type, size, time.nowS)
            } else await state.usage.noteClock()
            break
          case 5:
            await killAndOpen(
              async ({ volumes }) => {
                if (about) await volumes.update(id, { volumeType: type, sizeGib: size })
                else await volumes.insert(volume(id, { volumeType: type, sizeGib: size }), emptyLayer(id))
              },
              () => {
                pass(waits[dice(waits.length)]! * 1000)
                const host = dice(4)
                if (host === 0) time.reboot()
                if (host === 1) time.set(-7200_000)
              },
            )
            break
          default:
            await state.usage.noteClock()
        }
      }
      await state.usage.noteClock()
      const byKey = (days: UsageDay[]) =>
        Object.fromEntries(
          days.map(({ day, usageType, exact, bySecond, byHour }) => [
            `${day} ${usageType}`,
            { exact, bySecond, byHour },
          ]),
        )
      const days = byKey(await state.usage.days({ fromDay, toDay: 1e6 }, time.nowS, hourly))
      const wanted = [...model.days].filter(([, { exact, bySecond, byHour }]) => exact || bySecond || byHour)
      expect(days, `seed ${seed}`).toEqual(Object.fromEntries(wanted))
      expect(byKey(await fromRecords(fromDay)), `seed ${seed}`).toEqual(days)
      for (const id of there.keys()) await state.volumes.remove(id)
    }
  })
}
