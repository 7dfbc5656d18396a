/**
 * Random plans of two months, lived through on the metered state: what they cost is what a plain model says, exactly. They
 * take milliseconds each: `KILN_SEEDS=5000` lives through so many, `KILN_SEED=n` through that one again.
 */
import { expect, test } from 'vitest'
import { type Random, randomInt, seededRandom } from '../../src/lib/random.ts'
import { type Scenario, type ScenarioVolume, simulateCosts } from '../../src/server.ts'
import { BillModel } from '../support/bill-model.ts'
import { modelPrices, prices } from '../support/odd-prices.ts'

const only = process.env.KILN_SEED
const seedCount = Number(process.env.KILN_SEEDS ?? 12)
const seeds = only ? [Number(only)] : Array.from({ length: seedCount }, (_, index) => index + 1)
const day = 86_400
const fromS = Date.UTC(2026, 1, 10, 5) / 1000
const toS = fromS + 55 * day
const region = 'eu-west-1'

test(`${seeds.length} plans cost what the model says, to the last fraction`, async () => {
  for (const seed of seeds) {
    const scenario = randomScenario(seededRandom(seed))
    const { report, names } = await simulateCosts(scenario, prices)
    const bill = Object.fromEntries(
      report.groups
        .flatMap(({ keys, lines }) => [...sumsOf(names.get(keys[0]!)!, lines)])
        .map(([key, { n, d }]) => [key, `${n}/${d}`]),
    )
    expect(bill, `KILN_SEED=${seed}`).toEqual(modelOf(scenario).bill())
  }
})

type Line = Awaited<ReturnType<typeof simulateCosts>>['report']['groups'][number]['lines'][number]

function sumsOf(name: string, lines: readonly Line[]): Map<string, Line['cost']> {
  const sums = new Map<string, Line['cost']>()
  for (const { usageType, cost } of lines) {
    const key = `${name} ${usageType}`
    const sum = sums.get(key)?.add(cost) ?? cost
    if (sum.n !== 0n) sums.set(key, sum)
  }
  return sums
}

function randomScenario(random: Random): Scenario {
  const dice = (sides: number) => randomInt(random, sides)
  const moments = (count: number) =>
    [...new Set(Array.from({ length: count }, () => fromS + dice(toS - fromS)))].sort((a, b) => a - b)
  const volume = (name: string): ScenarioVolume => {
    const [begin, end] = moments(2)
    const [volumeType, iops, throughput] = (
      [
        ['gp2', null, null],
        ['gp3', 3000 + dice(500), 125 + dice(50)],
        ['io1', 100 + dice(900), null],
      ] as const
    )[dice(3)]!
    const dataBytes = 1 + dice(2 ** 31)
    const plan = { atS: dice(day), dataBytes, changedBytes: dice(dataBytes), keep: 1 + dice(20) }
    const snapshots = dice(2) === 0 ? null : { ...plan, copyTo: [null, 'us-west-2'][dice(2)]! }
    const about = { name, sizeGib: 1 + dice(500), volumeType, iops, throughput, snapshots, tags: {} }
    return { ...about, fromS: begin!, toS: end ?? toS }
  }
  const instances = Array.from({ length: dice(4) }, (_, index) => {
    const edges = moments(2 + dice(20))
    // Now and then a run of a moment, which is charged for a minute.
    const runs = edges
      .slice(1)
      .flatMap((end, i) => (i % 2 === 0 ? [{ fromS: edges[i]!, toS: dice(4) ? end : edges[i]! + 1 }] : []))
    const root = dice(2) === 0 ? null : { ...volume(`root ${index}`), fromS, toS, snapshots: null }
    const about = {
      name: `machine ${index}`,
      instanceType: ['t3.nano', 'm1.large'][dice(2)]!,
      publicAddress: dice(2) === 0,
    }
    return { ...about, root, runs: root ? runs : runs.slice(0, 1), tags: {} }
  })
  return { fromS, toS, region, instances, volumes: Array.from({ length: dice(4) }, (_, i) => volume(`disk ${i}`)) }
}

/** Told in the order of time, a second with something in it after the other. */
function modelOf({ instances, volumes }: Scenario): BillModel {
  const model = new BillModel(modelPrices, fromS)
  const facts: { atS: number; tell: () => void }[] = []
  const at = (atS: number, tell: () => void) => facts.push({ atS, tell })
  for (const { name, instanceType, root, runs, publicAddress } of instances) {
    for (const run of runs) {
      for (const [atS, used] of [[run.fromS, 1] as const, [run.toS, 0] as const]) {
        at(atS, () => model.use(name, `BoxUsage:${instanceType}`, used))
        if (publicAddress) at(atS, () => model.use(`${name} address`, 'PublicIPv4:InUseAddress', used))
      }
    }
    if (root && runs[0]) tellVolume({ ...root, fromS: runs[0].fromS })
  }
  for (const volume of volumes) tellVolume(volume)

  function tellVolume({ name, volumeType, sizeGib, iops, throughput, snapshots, ...volume }: ScenarioVolume) {
    at(volume.fromS, () => {
      model.use(name, `EBS:VolumeUsage.${volumeType}`, sizeGib)
      if (volumeType === 'io1') model.use(name, 'EBS:VolumeP-IOPS.io1', iops!)
      if (volumeType === 'gp3') model.use(name, 'EBS:VolumeP-IOPS.gp3', iops! - 3000)
      if (volumeType === 'gp3') model.use(name, 'EBS:VolumeP-Throughput.gp3', throughput! - 125)
    })
    at(volume.toS, () => model.useOnly(name, {}))
    for (const what of snapshots ? ['snapshot', ...(snapshots.copyTo ? ['copy'] : [])] : []) {
      const { atS, dataBytes, changedBytes, keep } = snapshots!
      let number = 0
      for (let time = volume.fromS - (volume.fromS % day) + atS; time < volume.toS; time += day) {
        if (time <= volume.fromS) continue
        const newest = ++number
        at(time, () => {
          for (let one = 1; one <= newest; one++) {
            const bytes = one === Math.max(1, newest - keep + 1) ? dataBytes : changedBytes
            model.use(`${name} ${what} ${one}`, 'EBS:SnapshotUsage', one <= newest - keep ? 0 : bytes)
          }
        })
      }
    }
  }

  for (const { atS, tell } of facts.filter((fact) => fact.atS < toS).sort((a, b) => a.atS - b.atS)) {
    model.pass(atS - model.wallS)
    tell()
  }
  model.pass(toS - model.wallS)
  return model
}
