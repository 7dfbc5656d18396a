/** `kiln cost compare --instance`: what it has cost, and what the other kind would have. */
import { exactOf, shortText } from '../../../prices/money.ts'
import type { CostItem, ImageKind, KindCosts } from '../../../prices/workload.ts'
import { control, daemonOf } from '../../daemon.ts'
import { print, printJson, time } from '../../render.ts'
import { comparisonTable, verdict } from './comparison.ts'

interface ToldCosts {
  lines: { item: CostItem; cost: string }[]
  total: string
}

interface InstanceComparison {
  instanceId: string
  kind: ImageKind
  instanceType: string
  region: string
  volumeGb: number
  currency: string
  from: string
  to: string
  days: string
  hoursPerDay: string
  instanceStore: ToldCosts
  ebs: ToldCosts
  cheaper: ImageKind | null
  saved: string
  breakEvenHoursPerDay: string | null
}

export async function compareInstance(
  instanceId: string,
  { home, hoursPerDay, json }: { home: string; hoursPerDay: string | undefined; json?: boolean },
): Promise<void> {
  const query = hoursPerDay === undefined ? '' : `?${new URLSearchParams({ 'hours-per-day': hoursPerDay })}`
  const path = `/_kiln/instances/${instanceId}/comparison${query}`
  const told = await control<InstanceComparison>(await daemonOf(home), path)
  if (json) return printJson(told)
  const { currency, cheaper, breakEvenHoursPerDay: hours } = told
  const comparison = {
    ...{ instanceStore: costsOf(told.instanceStore), ebs: costsOf(told.ebs), cheaper, saved: exactOf(told.saved) },
    breakEvenHoursPerDay: hours === null ? null : exactOf(hours),
  }
  const [days, worked] = [exactOf(told.days), exactOf(told.hoursPerDay)]
  const workload = { days, hoursPerDay: worked, volumeGb: exactOf(String(told.volumeGb)) }
  print(`${headOf(told)}\n`)
  print(`${comparisonTable(workload, comparison, currency)}\n\n${verdict(comparison, currency)}`)
}

function headOf({ instanceId, instanceType, region, kind, from, to, hoursPerDay }: InstanceComparison): string {
  const hours = shortText(exactOf(hoursPerDay), 2)
  const life = `${instanceId} (${instanceType} in ${region}), from ${time(from)} to ${time(to)} UTC`
  if (kind === 'ebs') return `${life}, is EBS-backed: it ran for ${hours} h a day, and a volume was kept all the time.`
  return `${life}, has its root in the instance store: it runs all day. With EBS it would run for ${hours} h (--hours-per-day).`
}

const costsOf = ({ lines, total }: ToldCosts): KindCosts => ({
  lines: lines.map(({ item, cost }) => ({ item, cost: exactOf(cost) })),
  total: exactOf(total),
})
