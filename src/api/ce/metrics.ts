/**
 * Cost Explorer's metrics. Nothing is reserved, discounted, blended between accounts or paid in advance, so all five costs are
 * the same. Sources: Metrics of GetCostAndUsage and Metric of GetCostForecast in the API reference.
 */
import { amountText, type CostMetric, metricOf } from '../../cloud/metering/cost-metrics.ts'
import type { CostGroup } from '../../cloud/metering/costs.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'
import { invalid } from './dimensions.ts'

const metrics: Readonly<Record<string, CostMetric>> = {
  AmortizedCost: 'cost',
  BlendedCost: 'cost',
  NetAmortizedCost: 'cost',
  NetUnblendedCost: 'cost',
  NormalizedUsageAmount: 'normalized-usage',
  UnblendedCost: 'cost',
  UsageQuantity: 'usage-quantity',
}

export interface Metric {
  name: string
  of: CostMetric
}

export function metricsOf(input: JsonInput): Metric[] {
  const names = [...new Set(input.texts('Metrics'))]
  if (names.length === 0) throw invalid('Metrics is required')
  return names.map((name) => metricNamed(name, 'Metrics'))
}

/** `where` is the member that names it. */
export function metricNamed(name: string, where: string): Metric {
  const metric = Object.hasOwn(metrics, name) ? metrics[name] : undefined
  if (metric) return { name, of: metric }
  throw invalid(`${where} '${clipped(name)}' is not valid. Valid values: ${Object.keys(metrics).join(', ')}`)
}

export interface MetricAmount {
  Amount: string
  Unit: string
}

/** Of groups together: none come to 0. */
export function amountsOf(
  asked: readonly Metric[],
  groups: readonly CostGroup[],
  currency: string,
): Record<string, MetricAmount> {
  return Object.fromEntries(
    asked.map(({ name, of }) => {
      const { amount, unit } = metricOf(groups, of, currency)
      return [name, { Amount: amountText(amount), Unit: unit ?? 'N/A' }]
    }),
  )
}

/** Those that forecasts take. */
export const costMetrics = [
  'AMORTIZED_COST',
  'BLENDED_COST',
  'NET_AMORTIZED_COST',
  'NET_UNBLENDED_COST',
  'UNBLENDED_COST',
] as const
export const usageMetrics = { USAGE_QUANTITY: 'usage-quantity', NORMALIZED_USAGE_AMOUNT: 'normalized-usage' } as const
