/** A scenario as people write it: `docs/examples/` has one. Throws with the line and the field of everything that is wrong. */
import { regionNames } from '../../../lib/regions.ts'
import { quoted } from '../../../prices/sheet-problems.ts'
import { usageTypeFacts } from '../../../prices/usage-types.ts'
import type { Scenario, ScenarioInstance, ScenarioVolume } from '../../../server.ts'
import { type Field, YamlReader } from './scenario-reader.ts'

export interface ScenarioFile {
  scenario: Scenario
  /** Of the price sheet, beside the scenario; null for the prices that come with Kiln. */
  prices: string | null
}

const day = 86_400
const daysMax = 3660
const sizeMax = 65_536
const listMax = 10_000
const gib = 2 ** 30

interface Window {
  region: string
  fromS: number
  toS: number
}

export function readScenario(text: string): ScenarioFile {
  const reader = new YamlReader()
  const root = reader.read(text)
  const head = reader.members(root, ['from', 'days', 'region', 'prices', 'instances', 'volumes'])
  const fromS = reader.need(reader.time(head.from), root, 'from') ?? 0
  const days = reader.need(reader.number(head.days, { least: 1, most: daysMax }), root, 'days') ?? 1
  const within = { region: regionOf(reader, head.region) ?? 'us-east-1', fromS, toS: fromS + days * day }
  const instances = bounded(reader, head.instances).flatMap((field) => instancesOf(reader, field, within))
  const volumes = bounded(reader, head.volumes).map((field) => volumeOf(reader, field, within))
  reader.problems.throwIfAny()
  return { scenario: { ...within, instances, volumes }, prices: reader.text(head.prices) ?? null }
}

function bounded(reader: YamlReader, field: Field | undefined): Field[] {
  const list = reader.list(field)
  if (list.length > listMax) reader.refuse(field!, `has ${list.length} members; at most ${listMax} are lived through`)
  return list.slice(0, listMax)
}

function regionOf(reader: YamlReader, field: Field | undefined): string | undefined {
  const region = reader.text(field)
  if (region === undefined || Object.hasOwn(regionNames, region)) return region
  reader.refuse(field!, `${quoted(region)} is no region`)
  return undefined
}

const instanceFields = [
  'name',
  'type',
  'count',
  'image',
  'volume',
  'hoursPerDay',
  'runs',
  'publicAddress',
  'tags',
] as const

function instancesOf(reader: YamlReader, field: Field, within: Window): ScenarioInstance[] {
  const about = reader.members(field, instanceFields)
  const name = reader.need(reader.text(about.name), field, 'name') ?? ''
  const instanceType = reader.need(reader.text(about.type), field, 'type') ?? 't3.micro'
  if (!usageTypeFacts(`BoxUsage:${instanceType}`))
    reader.refuse(about.type!, `${quoted(instanceType)} is no instance type`)
  const isStored = imageKind(reader, about.image, field) === 'instance-store'
  if (isStored && about.volume) reader.refuse(about.volume, 'the root of an instance-store image is no volume')
  if (!isStored) reader.need(about.volume, field, 'volume')
  const tags = reader.texts(about.tags)
  const rootVolume = about.volume && !isStored ? rootOf(reader, about.volume, { name, tags, within }) : null
  const runs = runsOf(reader, about, { isStored, within })
  const one = { instanceType, root: rootVolume, runs, publicAddress: reader.flag(about.publicAddress) ?? false, tags }
  const count = reader.number(about.count, { least: 1, most: listMax }) ?? 1
  return Array.from({ length: count }, (_, index) => ({ ...one, name: count === 1 ? name : `${name} ${index + 1}` }))
}

function imageKind(reader: YamlReader, field: Field | undefined, owner: Field): string | undefined {
  const kind = reader.need(reader.text(field), owner, 'image')
  if (kind !== undefined && kind !== 'ebs' && kind !== 'instance-store') {
    reader.refuse(field!, `${quoted(kind)} is neither ebs nor instance-store`)
  }
  return kind
}

function rootOf(
  reader: YamlReader,
  field: Field,
  { name, tags, within }: { name: string; tags: Record<string, string>; within: Window },
): ScenarioVolume {
  const about = reader.members(field, ['size', 'type', 'iops', 'throughput', 'snapshots'])
  return { ...shapeOf(reader, field, about), name: `${name} root`, tags, ...spanOf(within), ...planOf(reader, about) }
}

const spanOf = ({ fromS, toS }: Window) => ({ fromS, toS })

function volumeOf(reader: YamlReader, field: Field, within: Window): ScenarioVolume {
  const about = reader.members(field, ['name', 'size', 'type', 'iops', 'throughput', 'from', 'to', 'snapshots', 'tags'])
  const span = { fromS: reader.time(about.from) ?? within.fromS, toS: reader.time(about.to) ?? within.toS }
  checkSpan(reader, about.from ?? about.to ?? field, span, within)
  const name = reader.need(reader.text(about.name), field, 'name') ?? ''
  return { ...shapeOf(reader, field, about), name, tags: reader.texts(about.tags), ...span, ...planOf(reader, about) }
}

function checkSpan(reader: YamlReader, field: Field, { fromS, toS }: { fromS: number; toS: number }, within: Window) {
  if (fromS >= toS) reader.refuse(field, 'ends before it begins')
  else if (fromS < within.fromS || toS > within.toS) reader.refuse(field, 'lies outside of the days of the scenario')
}

type ShapeFields = Partial<Record<'size' | 'type' | 'iops' | 'throughput' | 'snapshots', Field>>

function shapeOf(reader: YamlReader, field: Field, { size, type, iops, throughput }: ShapeFields) {
  const volumeType = reader.text(type) ?? 'gp3'
  if (!usageTypeFacts(`EBS:VolumeUsage.${volumeType}`)) reader.refuse(type!, `${quoted(volumeType)} is no volume type`)
  return {
    sizeGib: reader.need(reader.number(size, { least: 1, most: sizeMax }), field, 'size') ?? 1,
    volumeType,
    iops: reader.number(iops, { least: 100, most: 256_000 }) ?? null,
    throughput: reader.number(throughput, { least: 125, most: 2000 }) ?? null,
  }
}

function planOf(reader: YamlReader, { snapshots: field, size }: ShapeFields): Pick<ScenarioVolume, 'snapshots'> {
  if (!field) return { snapshots: null }
  const about = reader.members(field, ['at', 'data', 'changed', 'keep', 'copyTo'])
  const most = typeof size?.value === 'number' ? size.value : sizeMax
  const bytes = (part: Field | undefined) => {
    const gb = reader.number(part, { least: 0, most, whole: false })
    return gb === undefined ? undefined : Math.round(gb * gib)
  }
  const dataBytes = reader.need(bytes(about.data), field, 'data') ?? 0
  const changedBytes = reader.need(bytes(about.changed), field, 'changed') ?? 0
  if (changedBytes > dataBytes) reader.refuse(about.changed!, 'more changes than there is data')
  const keep = reader.number(about.keep, { least: 1, most: daysMax }) ?? daysMax
  const copyTo = regionOf(reader, about.copyTo) ?? null
  return { snapshots: { atS: timeOfDay(reader, about.at), dataBytes, changedBytes, keep, copyTo } }
}

/** Seconds since midnight. */
function timeOfDay(reader: YamlReader, field: Field | undefined): number {
  const text = reader.text(field) ?? '00:00'
  const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? []
  if (hours === undefined) reader.refuse(field!, `${quoted(text)} is no time of day, as 08:30`)
  return Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60
}

function runsOf(
  reader: YamlReader,
  { hoursPerDay, runs }: Partial<Record<'hoursPerDay' | 'runs', Field>>,
  { isStored, within }: { isStored: boolean; within: Window },
): ScenarioInstance['runs'] {
  if (hoursPerDay && runs) reader.refuse(runs, 'there is hoursPerDay already')
  if (runs) return listedRuns(reader, runs, { isStored, within })
  const hours = reader.number(hoursPerDay, { least: 0, most: 24, whole: false }) ?? 24
  if (hours === 24) return [spanOf(within)]
  if (isStored)
    reader.refuse(hoursPerDay!, 'an instance of the instance store cannot be stopped: it runs day and night')
  return dailyRuns(Math.round(hours * 3600), within)
}

function dailyRuns(lengthS: number, { fromS, toS }: Window): ScenarioInstance['runs'] {
  const days = Array.from({ length: (toS - fromS) / day }, (_, index) => fromS + index * day)
  return days.map((startS) => ({ fromS: startS, toS: startS + lengthS }))
}

function listedRuns(
  reader: YamlReader,
  field: Field,
  { isStored, within }: { isStored: boolean; within: Window },
): ScenarioInstance['runs'] {
  const runs: { fromS: number; toS: number }[] = []
  for (const item of reader.list(field)) {
    const { start, stop } = reader.members(item, ['start', 'stop'])
    const run = { fromS: reader.need(reader.time(start), item, 'start') ?? 0, toS: reader.time(stop) ?? within.toS }
    checkSpan(reader, item, run, within)
    if (run.fromS < (runs.at(-1)?.toS ?? 0)) reader.refuse(item, 'begins before the run above it ends')
    runs.push(run)
  }
  if (isStored && runs.length > 1) reader.refuse(field, 'an instance of the instance store runs once, until its end')
  if (runs.length === 0) reader.refuse(field, 'there is no run')
  return runs
}
