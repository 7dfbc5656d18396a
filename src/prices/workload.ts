/**
 * The question that decides between the two kinds of image: an instance with its root in the instance store cannot be stopped
 * and is paid for day and night, one on EBS is paid for while it runs, and its volume always. Pure arithmetic, with exact
 * numbers; a month is 30 days, as in AWS's own examples.
 */
import { type Exact, exactOf, sumOf, zero } from './money.ts'

const hoursOfDay = exactOf('24')
const daysOfMonth = exactOf('30')

export interface Workload {
  /** Of a running instance. */
  hourlyRate: Exact
  /** How long the work takes; at most 24. */
  hoursPerDay: Exact
  days: Exact
  /** The root volume of the EBS-backed instance, in GB, and what it costs for a month: whole, or each GB. */
  volumeGb: Exact
  volumePrice: { perMonth: Exact } | { perGbMonth: Exact }
  /** What the images themselves take: a bundle in S3 here, a snapshot there. Nothing unless given. */
  bundle?: StoredImage
  snapshot?: StoredImage
}

export interface StoredImage {
  gb: Exact
  perGbMonth: Exact
}

export type ImageKind = 'instanceStore' | 'ebs'
export type CostItem = 'instance' | 'volume' | 'bundle' | 'snapshot'

export interface KindCosts {
  lines: { item: CostItem; cost: Exact }[]
  total: Exact
}

export interface Comparison {
  instanceStore: KindCosts
  ebs: KindCosts
  /** Null when both cost the same. */
  cheaper: ImageKind | null
  /** What the cheaper one saves; never negative. */
  saved: Exact
  /**
   * With so many hours of work a day both cost the same; with fewer EBS is cheaper. It may lie outside of 0 to 24: then one kind
   * is always cheaper. Null when running costs nothing.
   */
  breakEvenHoursPerDay: Exact | null
}

export function compareWorkload(workload: Workload): Comparison {
  const { hourlyRate, hoursPerDay, days } = workload
  const running = (hours: Exact) => hourlyRate.mul(hours).mul(days)
  const instanceStore = costsOf([
    { item: 'instance', cost: running(hoursOfDay) },
    ...storedLine('bundle', workload.bundle, days),
  ])
  const ebs = costsOf([
    { item: 'instance', cost: running(hoursPerDay) },
    { item: 'volume', cost: monthlyVolumePrice(workload).mul(days).div(daysOfMonth) },
    ...storedLine('snapshot', workload.snapshot, days),
  ])
  return compareCosts({ instanceStore, ebs }, { hourlyRate, hoursPerDay, days })
}

/** Compares what both kinds cost, for so many days of so many hours of work. */
export function compareCosts(
  { instanceStore, ebs }: Record<ImageKind, KindCosts>,
  { hourlyRate, hoursPerDay, days }: Pick<Workload, 'hourlyRate' | 'hoursPerDay' | 'days'>,
): Comparison {
  const difference = instanceStore.total.sub(ebs.total)
  const perHourOfDay = hourlyRate.mul(days)
  return {
    ...{ instanceStore, ebs, saved: difference.abs() },
    cheaper: difference.equals(zero) ? null : difference.compare(zero) > 0 ? 'ebs' : 'instanceStore',
    breakEvenHoursPerDay: perHourOfDay.equals(zero) ? null : hoursPerDay.add(difference.div(perHourOfDay)),
  }
}

function monthlyVolumePrice({ volumeGb, volumePrice }: Workload): Exact {
  return 'perMonth' in volumePrice ? volumePrice.perMonth : volumePrice.perGbMonth.mul(volumeGb)
}

function storedLine(item: CostItem, stored: StoredImage | undefined, days: Exact): KindCosts['lines'] {
  return stored ? [{ item, cost: stored.gb.mul(stored.perGbMonth).mul(days).div(daysOfMonth) }] : []
}

function costsOf(lines: KindCosts['lines']): KindCosts {
  return { lines, total: sumOf(lines.map(({ cost }) => cost)) }
}
