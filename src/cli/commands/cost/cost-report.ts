/** Reports of costs as the daemon tells them, and as people read them. */
import { exactOf, fineMoneyText, shortText, sumOf } from '../../../prices/money.ts'
import { usageTypeFacts } from '../../../prices/usage-types.ts'
import { counted, table, time } from '../../render.ts'

export interface ReportHead {
  from: string
  to: string
  granularity: 'hour' | 'day' | 'month' | 'total'
  groupBy: string[]
  currency: string
  /** The day of the prices, and where they are from. */
  pricesAsOf: string
  pricesSource: string
}

export interface Report {
  asOf: string
  groups: ReportGroup[]
  total: string
  isEstimated: boolean
}

export interface ReportGroup {
  from: string
  to: string
  keys: string[]
  cost: string
  isEstimated: boolean
  lines: ReportLine[]
  unpriced: UnpricedLine[]
}

export interface ReportLine {
  usageType: string
  service: string
  region: string
  month: string
  unit: string
  quantity: string
  price: string
  cost: string
}

export interface UnpricedLine {
  usageType: string
  service: string | null
  region: string
  unit: string | null
  quantity: string | null
}

const periodLength = { hour: 16, day: 10, month: 7 } as const

/** When it was, and by what it was grouped: the first cells of each row. */
export function groupHeadings({ granularity, groupBy }: ReportHead): string[] {
  return [...(granularity === 'total' ? [] : [`${granularity} (UTC)`]), ...groupBy.map(headingOf)]
}

/** `usage type`, `team` */
const headingOf = (by: string): string => (by.startsWith('tag:') ? by.slice(4) : by.replace('-', ' '))

export function groupCells({ granularity }: ReportHead, { from, keys }: ReportGroup): (string | null)[] {
  const period = granularity === 'total' ? [] : [time(from)!.slice(0, periodLength[granularity])]
  return [...period, ...keys.map((key) => key || null)]
}

/** Periods in their order, and in each what cost most first. */
export function byCost(groups: readonly ReportGroup[]): ReportGroup[] {
  return groups.toSorted((a, b) =>
    a.from === b.from ? exactOf(b.cost).compare(exactOf(a.cost)) : a.from < b.from ? -1 : 1,
  )
}

export function costCell({ cost, lines, isEstimated }: ReportGroup, currency: string): string {
  if (lines.length === 0) return 'no price'
  return `${isEstimated ? '~' : ''}${fineMoneyText(exactOf(cost), currency)}`
}

/** How much of it, where all of a group is of one unit; words for what it is, where it is of one usage type. */
export function quantityCell({ lines, unpriced }: ReportGroup): string | null {
  const all = [...lines, ...unpriced]
  const units = new Set(all.map(({ unit }) => unit))
  const [unit] = units
  if (units.size !== 1 || !unit) return null
  return `${shortText(sumOf(all.map(({ quantity }) => exactOf(quantity ?? '0'))), 4)} ${unit}`
}

export function reportTable(head: ReportHead, { groups }: Report): string {
  const isOfTypes = head.groupBy.includes('usage-type')
  const rows = byCost(groups).map((group) => [
    ...groupCells(head, group),
    ...(isOfTypes ? [descriptionOf(group), quantityCell(group)] : []),
    costCell(group, head.currency),
  ])
  const headings = [...groupHeadings(head), ...(isOfTypes ? ['what', 'quantity'] : []), 'cost']
  return table(headings, rows, 'Nothing was used.')
}

const descriptionOf = ({ lines, unpriced }: ReportGroup): string | null => {
  const usageType = [...lines, ...unpriced][0]?.usageType
  return (usageType && usageTypeFacts(usageType)?.description) ?? null
}

/** What the total leaves out or does not know, a line each. */
export function caveats(reports: readonly Report[]): string[] {
  const groups = reports.flatMap((report) => report.groups)
  const without = [
    ...new Set(groups.flatMap(({ unpriced }) => unpriced.map(({ usageType, region }) => `${usageType} in ${region}`))),
  ]
  const shown = without.slice(0, mostShown).join(', ')
  const more = without.length > mostShown ? ` and ${counted(without.length - mostShown, 'other')}` : ''
  return [
    ...(without.length > 0 ? [`The prices have none for ${shown}${more}: not in the total, and not free.`] : []),
    ...(reports.some(({ isEstimated }) => isEstimated)
      ? ['~ is estimated: something of it ended unseen, while no Kiln served this home.']
      : []),
  ]
}

const mostShown = 5

/** `Together $12.50, from 2026-11-01 to 2026-11-28 04:01 (UTC); prices of 2026-01-19 (AWS public …).` */
export function totalLine(head: ReportHead, { asOf, total }: Report): string {
  const until = asOf < head.to ? time(asOf)!.slice(0, 16) : dayOrTime(head.to)
  const money = fineMoneyText(exactOf(total), head.currency)
  return `Together ${money} (${head.currency}), from ${dayOrTime(head.from)} to ${until} UTC. ${pricesLine(head)}`
}

export const pricesLine = ({ pricesAsOf, pricesSource }: ReportHead): string =>
  `Prices of ${pricesAsOf}: ${pricesSource}.`

const dayOrTime = (text: string): string =>
  time(text)!
    .replace(/ 00:00:00$/, '')
    .slice(0, 16)

export const moneyOf = (text: string, currency: string): string => fineMoneyText(exactOf(text), currency)
