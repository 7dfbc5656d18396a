/** What a group of costs comes to: money, or what was used. */
import { awsUsageType } from '../../prices/billing-codes.ts'
import { type Exact, reportText, sumOf, zero } from '../../prices/money.ts'
import { normalizationFactor } from '../../prices/normalized-usage.ts'
import type { CostGroup } from './costs.ts'

export type CostMetric = 'cost' | 'usage-quantity' | 'normalized-usage'

export interface MetricValue {
  amount: Exact
  /** Null where units are mixed, where nothing was used, and where there is none. */
  unit: string | null
}

type Used = Pick<CostGroup, 'lines' | 'unpriced'>

/**
 * Of all groups together. Usage counts as it is billed; what has no price is used all the same, and costs nothing that
 * anybody knows.
 */
export function metricOf(
  groups: readonly (Used & Pick<CostGroup, 'cost'>)[],
  metric: CostMetric,
  currency: string,
): MetricValue {
  if (metric === 'cost') return { amount: sumOf(groups.map(({ cost }) => cost)), unit: currency }
  if (metric === 'usage-quantity') return quantityOf(groups)
  const parts = groups.flatMap(usedOf).map(({ usageType, quantity }) => {
    const factor = normalizationFactor(usageType)
    return factor && quantity ? quantity.mul(factor) : zero
  })
  return { amount: sumOf(parts), unit: null }
}

function quantityOf(groups: readonly Used[]): MetricValue {
  const used = groups.flatMap(usedOf)
  const units = new Set(used.map(({ unit }) => unit))
  const [unit = null] = units
  return { amount: sumOf(used.map(({ quantity }) => quantity ?? zero)), unit: units.size === 1 ? unit : null }
}

const usedOf = ({ lines, unpriced }: Used) => [...lines, ...unpriced]

/** Whether the group is more than what is metered for reports alone. */
export const isBilled = ({ lines, unpriced }: Used): boolean => lines.length > 0 || unpriced.length > 0

/** Ten places, as AWS writes amounts. */
export const amountText: (amount: Exact) => string = reportText

/** What of the groups has no price: the usage type as AWS's bills write it, each once, and that there is none. */
export function unpricedUsage(groups: readonly Used[]): { usageType: string; message: string }[] {
  const found = new Map<string, string>()
  for (const { usageType, region, message } of groups.flatMap(({ unpriced }) => unpriced)) {
    found.set(awsUsageType(usageType, region), message)
  }
  return [...found].map(([usageType, message]) => ({ usageType, message })).sort(byUsageType)
}

const byUsageType = (a: { usageType: string }, b: { usageType: string }) => (a.usageType < b.usageType ? -1 : 1)
