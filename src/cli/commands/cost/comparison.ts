/** How two kinds of image compare, for people and for programs. */
import { type Exact, moneyText, reportText, shortText } from '../../../prices/money.ts'
import type { Comparison, CostItem, ImageKind, KindCosts, Workload } from '../../../prices/workload.ts'
import { table } from '../../render.ts'

const kindNames: Readonly<Record<ImageKind, string>> = { instanceStore: 'instance store', ebs: 'EBS-backed' }

export function comparisonTable(
  workload: Pick<Workload, 'hoursPerDay' | 'days' | 'volumeGb' | 'bundle' | 'snapshot'>,
  { instanceStore, ebs }: Comparison,
  currency: string,
): string {
  const cost = (costs: KindCosts, item: CostItem) => {
    const line = costs.lines.find((one) => one.item === item)
    return line && moneyText(line.cost, currency)
  }
  const { hoursPerDay, days, volumeGb, bundle, snapshot } = workload
  const labels: [CostItem, string][] = [
    ['instance', `instance, ${shortText(days, 2)} days of 24 h, or of ${shortText(hoursPerDay, 2)} h`],
    ['volume', `volume of ${shortText(volumeGb, 2)} GB`],
    ...(bundle ? [['bundle', `bundle of ${shortText(bundle.gb, 2)} GB`] as [CostItem, string]] : []),
    ...(snapshot ? [['snapshot', `snapshot of ${shortText(snapshot.gb, 2)} GB`] as [CostItem, string]] : []),
  ]
  const rows = labels.map(([item, label]) => [label, cost(instanceStore, item), cost(ebs, item)])
  const totals = ['together', moneyText(instanceStore.total, currency), moneyText(ebs.total, currency)]
  return table(['cost of', kindNames.instanceStore, kindNames.ebs], [...rows, totals], '')
}

export function verdict({ cheaper, saved, breakEvenHoursPerDay: hours }: Comparison, currency: string): string {
  if (!cheaper) return 'Both cost the same.'
  const saver = cheaper === 'ebs' ? 'EBS-backed' : 'The instance store'
  return `${saver} saves ${moneyText(saved, currency)}${breakEvenText(hours)}.`
}

/** When the other one would be the better; nothing where hours of work decide nothing. */
function breakEvenText(hours: Exact | null): string {
  if (!hours) return ''
  if (hours.compare(0) <= 0 || hours.compare(24) > 0) return ', however few or many hours of a day have work'
  return `; both cost the same at ${shortText(hours, 2)} h of work a day`
}

export function comparisonJson(
  { instanceStore, ebs, cheaper, saved, breakEvenHoursPerDay }: Comparison,
  currency: string,
) {
  const costs = ({ lines, total }: KindCosts) => ({
    lines: lines.map(({ item, cost }) => ({ item, cost: reportText(cost) })),
    total: reportText(total),
  })
  return {
    ...{ currency, instanceStore: costs(instanceStore), ebs: costs(ebs), cheaper, saved: reportText(saved) },
    breakEvenHoursPerDay: breakEvenHoursPerDay && reportText(breakEvenHoursPerDay),
  }
}
