/**
 * What metering takes: a year of 1,000 instances that run 8 hours a day and 5,000 volumes with daily snapshots, in SQLite.
 * The question of a month by usage type and day is answered from days; a plain SQL sum over the raw events of the same year is
 * beside it, in the same run.
 *
 * The last days of the year are lived through, and tell how fast events are written. By then one day is like the other, so
 * the days before them are copies of one of them, in events and days alike.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { chargeRules } from '../src/cloud/metering/charge-rules.ts'
import { Costs } from '../src/cloud/metering/costs.ts'
import { instanceRow, layerRow, snapshotRow, volumeRow } from '../src/cloud/metering/scenario/rows.ts'
import { VirtualTime } from '../src/lib/virtual-clock.ts'
import { moneyText } from '../src/prices/money.ts'
import { defaultPriceSheet } from '../src/prices/sheets.ts'
import { openState, type State } from '../src/state/state.ts'
import { type Bench, median, mib, seconds, timed } from './report.ts'

const [instanceCount, volumeCount, keep, accounts] = [1000, 5000, 2, 20]
const days = 365
const livedDays = 4
/** Of the lived ones: snapshots go already, and what it used is all told. */
const copiedDay = livedDays - 2
const rounds = 9
const daySeconds = 86_400
/** Of the days that are lived. */
const fromS = Date.UTC(2025, 11, 28) / 1000
const region = 'us-east-1'

const id = (prefix: string, number: number) => `${prefix}-${number.toString(16).padStart(17, '0')}`
const accountOf = (number: number) => String(number % accounts).padStart(12, '0')

export const benchCosts: Bench = {
  question: `how long do questions about ${days} days of ${instanceCount} instances and ${volumeCount} volumes take?`,
  async run(say) {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-bench-costs-'))
    try {
      await measure(join(folder, 'state.db'), say)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

async function measure(sqlitePath: string, say: (line: string) => void): Promise<void> {
  const time = new VirtualTime(fromS * 1000)
  const { clock } = time.process()
  const state = await openState({ sqlitePath }, { clock, uptime: time.uptime, rules: chargeRules })
  try {
    await state.usage.noteClock()
    const built = await timed(() => liveDays(state, time))
    const raw = new DatabaseSync(sqlitePath)
    try {
      const lived = eventsOf(raw)
      say(
        `${lived} events lived in ${seconds(built)}: ${Math.round(lived / (built / 1000))} a second, with all that they are of`,
      )
      copyDays(raw)
      raw.exec('pragma wal_checkpoint(truncate)')
      say(
        `${eventsOf(raw)} events in ${days} days, ${bytesOfEvent(raw).toFixed(0)} bytes of state each with its indices`,
      )
      say(`the whole state is ${mib((await stat(sqlitePath)).size)}`)
      await ask(new Costs({ state, clock, prices: defaultPriceSheet() }), raw, say)
    } finally {
      raw.close()
    }
  } finally {
    await state.close()
  }
}

/** A day in a transaction: instances from 8 to 16 h, a snapshot of each volume, and the oldest one goes. */
async function liveDays(state: State, time: VirtualTime): Promise<void> {
  const at = (timeS: number) => {
    time.leap(timeS * 1000 - time.now())
    return (number: number) => ({ accountId: accountOf(number), region, nowMs: timeS * 1000 })
  }
  const machines = Array.from({ length: instanceCount }, (_, number) => number)
  const disks = Array.from({ length: volumeCount }, (_, number) => number)
  const shape = { sizeGib: 100, volumeType: 'gp3', iops: null, throughput: null }
  for (let day = 0; day < livedDays; day++) {
    const midnight = fromS + day * daySeconds
    await state.transaction(async (tx) => {
      const place = at(midnight)
      for (const disk of disks) {
        if (day === 0)
          await tx.volumes.insert(volumeRow(id('vol', disk), shape, place(disk)), layerRow(id('vol', disk)))
        const about = {
          volumeId: id('vol', disk),
          sizeGib: 100,
          dataBytes: 2 ** 35,
          chargedBytes: 2 ** 30,
          parentId: null,
        }
        await tx.snapshots.insert(snapshotRow(id('snap', day * volumeCount + disk), about, place(disk)))
        if (day >= keep) await tx.snapshots.update(id('snap', (day - keep) * volumeCount + disk), { state: 'deleted' })
      }
    })
    await state.transaction(async (tx) => {
      const place = at(midnight + 8 * 3600)
      const root = { instanceType: 't3.medium', root: null }
      if (day === 0) {
        await tx.instances.insert(machines.map((machine) => instanceRow(id('i', machine), root, place(machine))))
        return
      }
      for (const machine of machines) await tx.instances.update(id('i', machine), { state: 'running' })
    })
    await state.transaction(async (tx) => {
      at(midnight + 16 * 3600)
      for (const machine of machines) await tx.instances.update(id('i', machine), { state: 'stopped' })
    })
  }
  at(fromS + livedDays * daySeconds)
}

/** Everything that ended on that day, and what was used on it, for each day before those that were lived. */
function copyDays(raw: DatabaseSync): void {
  const shifts = `with recursive shifts(days) as
    (values(${copiedDay + 1}) union all select days + 1 from shifts where days < ${copiedDay + days - livedDays})`
  const from = fromS + copiedDay * daySeconds
  // Millions of rows into indices: with the usual room every page would be written many times.
  raw.exec(`
    pragma cache_size = -500000;
    begin;
    insert into usage_events (resource_id, usage_type, account_id, region, quantity, from_s, to_s, run_before_s, amount, is_estimated)
    ${shifts} select resource_id, usage_type, account_id, region, quantity, from_s - days * ${daySeconds},
      to_s - days * ${daySeconds}, run_before_s, amount, is_estimated
      from usage_events cross join shifts where to_s >= ${from} and to_s < ${from + daySeconds} order by days desc;
    insert into usage_days (account_id, region, usage_type, day, exact, by_second, by_hour)
    ${shifts} select account_id, region, usage_type, day - days, exact, by_second, by_hour
      from usage_days cross join shifts where day = ${from / daySeconds};
    commit;
    pragma cache_size = -2000`)
}

function eventsOf(raw: DatabaseSync): number {
  return (raw.prepare('select count(*) as events from usage_events').get() as { events: number }).events
}

function bytesOfEvent(raw: DatabaseSync): number {
  const sizes = raw.prepare(
    "select sum(pgsize) as bytes from dbstat where name like 'usage_events%' or name like 'usageEvents%'",
  )
  return (sizes.get() as { bytes: number }).bytes / eventsOf(raw)
}

async function ask(costs: Costs, raw: DatabaseSync, say: (line: string) => void): Promise<void> {
  const month = { fromS: Date.UTC(2025, 5, 1) / 1000, toS: Date.UTC(2025, 6, 1) / 1000 }
  const sum = raw.prepare(
    `select usage_type, to_s / 86400 as day, sum(quantity * (min(to_s, :toS) - max(from_s, :fromS))) as used
     from usage_events where to_s >= :fromS and from_s < :toS group by 1, 2`,
  )
  sum.setReadBigInts(true)
  const times: Record<'days' | 'sum' | 'resources', number[]> = { days: [], sum: [], resources: [] }
  let total = ''
  for (let round = 0; round < rounds; round++) {
    times.days.push(
      await timed(async () => {
        const report = await costs.report({ ...month, granularity: 'day', groupBy: ['usage-type'] })
        total = moneyText(report.total, report.currency)
      }),
    )
    times.sum.push(await timed(async () => sum.all({ fromS: month.fromS, toS: month.toS })))
    const day = { fromS: month.fromS, toS: month.fromS + daySeconds, accountIds: [accountOf(0)] }
    times.resources.push(await timed(() => costs.report({ ...day, granularity: 'total', groupBy: ['resource'] })))
  }
  const [byDay, bySum, byResource] = [median(times.days), median(times.sum), median(times.resources)]
  say(`a month by usage type and day, priced, from days: ${byDay.toFixed(1)} ms (${total})`)
  say(`the same usage summed by SQL from raw events, without prices and what still runs: ${bySum.toFixed(1)} ms`)
  say(`ratio from days / sum of events: ${(byDay / bySum).toFixed(3)}`)
  say(`one day of one account by resource: ${byResource.toFixed(1)} ms`)
}
