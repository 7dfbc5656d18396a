/**
 * GetCostAndUsage, and the same with resources.
 *
 * What the price sheet does not price has no cost here, and that it has none is told: `DimensionValueAttributes` has the usage
 * type with the words "no price for …". Of a group it shows in UsageQuantity, which counts it all the same.
 */
import { isBilled, unpricedUsage } from '../../cloud/metering/cost-metrics.ts'
import { dimensionsOf } from '../../cloud/metering/cost-query.ts'
import type { CostGroup, CostReport } from '../../cloud/metering/costs.ts'
import { limits } from '../../lib/limits.ts'
import type { JsonInput } from '../json-input.ts'
import { pageOf } from '../json-pages.ts'
import { type Grouping, groupingsOf, invalid } from './dimensions.ts'
import { filterOf } from './expression.ts'
import type { CeRequest } from './handlers.ts'
import { amountsOf, type Metric, metricsOf } from './metrics.ts'
import {
  type AwsGranularity,
  checkDays,
  costGranularity,
  granularities,
  intervalText,
  pastPeriodOf,
} from './time-period.ts'

/** A period, or one of its groups. */
interface Row {
  period: CostReport['periods'][number]
  group: CostGroup | undefined
}

export async function getCostAndUsage(request: CeRequest): Promise<object> {
  return await answer(request, false)
}

export async function getCostAndUsageWithResources(request: CeRequest): Promise<object> {
  return await answer(request, true)
}

async function answer({ input, question, costs, accountId }: CeRequest, withResources: boolean): Promise<object> {
  const granularity = input.requiredOneOf('Granularity', granularities)
  const nowS = costs.nowS()
  const period = pastPeriodOf(input, granularity, nowS)
  if (withResources) checkDays(period.fromS, nowS)
  const [metrics, groupings, filter] = [metricsOf(input), groupingsOf(input), filterOf(input)]
  const groupBy = groupings.map(({ dimension }) => dimension)
  checkResources([...groupBy, ...dimensionsOf(filter)].includes('resource'), withResources, input)
  const token = input.text('NextPageToken', { max: 8192 })
  const query = { ...period, granularity: costGranularity[granularity], groupBy, accountIds: [accountId] }
  const report = await costs.report(filter ? { ...query, filter } : query)
  const rows = rowsOf(report)
  const page = pageOf(rows, { question, token, size: limits.costGroupsPerPage }, ({ period: { fromS }, group }) => [
    ...[fromS, ...(group?.keys ?? [])],
  ])
  const shown = { granularity, metrics, groupings, currency: report.currency, nowS }
  return {
    ...(groupings.length > 0 ? { GroupDefinitions: groupings.map(({ definition }) => definition) } : {}),
    ResultsByTime: resultsOf(page.items, shown),
    DimensionValueAttributes: unpricedAttributes(page.items.flatMap(({ group }) => group ?? [])),
    NextPageToken: page.nextToken,
  }
}

function checkResources(asksForResources: boolean, withResources: boolean, input: JsonInput): void {
  if (!withResources) {
    if (!asksForResources) return
    throw invalid('RESOURCE_ID is a dimension of GetCostAndUsageWithResources alone')
  }
  input.requiredStructure('Filter')
  if (!asksForResources) throw invalid('GroupBy or Filter must name the dimension RESOURCE_ID')
}

/** A period without groups is told too. Without groupings each has one group at most. */
function rowsOf({ periods, groups }: CostReport): Row[] {
  const billed = Map.groupBy(groups.filter(isBilled), ({ period }) => period.fromS)
  return periods.flatMap((period): Row[] => {
    const own = billed.get(period.fromS) ?? [undefined]
    return own.map((group) => ({ period, group }))
  })
}

interface Shown {
  granularity: AwsGranularity
  metrics: readonly Metric[]
  groupings: readonly Grouping[]
  currency: string
  nowS: number
}

function resultsOf(rows: readonly Row[], shown: Shown): object[] {
  const { granularity, metrics, groupings, currency, nowS } = shown
  return [...Map.groupBy(rows, ({ period }) => period)].map(([period, ofPeriod]) => {
    const groups = ofPeriod.flatMap(({ group }) => group ?? [])
    const isGrouped = groupings.length > 0
    return {
      TimePeriod: intervalText(period, granularity),
      Total: isGrouped ? {} : amountsOf(metrics, groups, currency),
      Groups: isGrouped
        ? groups.map((group) => ({
            Keys: groupings.map(({ keyOf }, i) => keyOf(group.keys[i]!)),
            Metrics: amountsOf(metrics, [group], currency),
          }))
        : [],
      Estimated: period.toS > nowS || groups.some(({ isEstimated }) => isEstimated),
    }
  })
}

/** For a dimension value AWS has attributes in words; the account's name, for instance. */
function unpricedAttributes(groups: readonly CostGroup[]): object[] {
  return unpricedUsage(groups).map(({ usageType, message }) => ({
    Value: usageType,
    Attributes: { description: message },
  }))
}
