/** GetDimensionValues and GetTags: by what the costs of a period can be told apart. */
import { type CostMetric, isBilled, metricOf, unpricedUsage } from '../../cloud/metering/cost-metrics.ts'
import type { CostDimension } from '../../cloud/metering/cost-query.ts'
import type { CostGroup, CostReport } from '../../cloud/metering/costs.ts'
import { limits } from '../../lib/limits.ts'
import type { JsonInput } from '../json-input.ts'
import { pageOf } from '../json-pages.ts'
import { awsValue, dimensionOf, invalid } from './dimensions.ts'
import { filterOf } from './expression.ts'
import type { CeRequest } from './handlers.ts'
import { metricNamed } from './metrics.ts'
import { pastPeriodOf } from './time-period.ts'

/** A value and everything that has it. */
interface Found {
  value: string
  groups: readonly CostGroup[]
}

const contexts = ['COST_AND_USAGE', 'RESERVATIONS', 'SAVINGS_PLANS'] as const

export async function getDimensionValues(request: CeRequest): Promise<object> {
  const { input } = request
  const key = input.requiredText('Dimension')
  const dimension = dimensionOf(key, 'Dimension')
  if (key === 'RESOURCE_ID') throw invalid('RESOURCE_ID is a dimension of GetCostAndUsageWithResources alone')
  const context = input.oneOf('Context', contexts) ?? 'COST_AND_USAGE'
  const report = await reportBy(dimension.of, request)
  // Nothing is reserved here, and nobody has a savings plan.
  const groups = context === 'COST_AND_USAGE' ? report.groups.filter(isBilled) : []
  const found = groups.map((group) => ({ value: awsValue(dimension, group.keys[0]!), groups: [group] }))
  const { items, about } = pageOfValues(found, request, report.currency)
  const values = items.map((item) => ({ Value: item.value, Attributes: attributesOf(key, item) }))
  return { DimensionValues: values, ...about }
}

export async function getTags(request: CeRequest): Promise<object> {
  const key = request.input.text('TagKey')
  const report = await reportBy(key === undefined ? 'tag-keys' : `tag:${key}`, request)
  const groups = report.groups.filter(isBilled)
  const found = key === undefined ? keysIn(groups) : groups.map((group) => ({ value: group.keys[0]!, groups: [group] }))
  const { items, about } = pageOfValues(found, request, report.currency)
  return { Tags: items.map(({ value }) => value), ...about }
}

async function reportBy(dimension: CostDimension, { input, costs, accountId }: CeRequest): Promise<CostReport> {
  const period = pastPeriodOf(input, 'MONTHLY', costs.nowS())
  const filter = filterOf(input)
  const query = { ...period, granularity: 'total', groupBy: [dimension], accountIds: [accountId] } as const
  return await costs.report(filter ? { ...query, filter } : query)
}

/** Groups are by all the keys that a resource has together; whoever has several is found under each. */
function keysIn(groups: readonly CostGroup[]): Found[] {
  const byKey = new Map<string, CostGroup[]>()
  for (const group of groups) {
    const keys: string[] = group.keys[0] === '' ? [] : JSON.parse(group.keys[0]!)
    for (const key of keys) byKey.set(key, [...(byKey.get(key) ?? []), group])
  }
  return [...byKey].map(([value, own]) => ({ value, groups: own }))
}

/** What has no price is told where usage types are; see `cost-and-usage.ts`. */
function attributesOf(key: string, { groups }: Found): Record<string, string> {
  const [unpriced] = key === 'USAGE_TYPE' ? unpricedUsage(groups) : []
  return unpriced ? { description: unpriced.message } : {}
}

interface Sorting {
  metric: CostMetric
  isDescending: boolean
}

/** In alphabetical order, or by the metrics that SortBy names. */
function pageOfValues(found: readonly Found[], { input, question }: CeRequest, currency: string) {
  const search = input.text('SearchString')?.toLowerCase()
  const token = input.text('NextPageToken', { max: 8192 })
  const size = input.integer('MaxResults', { min: 1, max: limits.costGroupsPerPage }) ?? limits.costGroupsPerPage
  const sortings = sortingsOf(input)
  const isSorted = sortings.length > 0
  if (isSorted && (search !== undefined || token !== undefined)) {
    throw invalid(`SortBy does not go together with ${token === undefined ? 'SearchString' : 'NextPageToken'}`)
  }
  const byName = [...found].sort((a, b) => (a.value < b.value ? -1 : 1))
  const sorted = isSorted ? byMetrics(byName, sortings, currency) : byName
  const all = sorted.filter(({ value }) => search === undefined || value.toLowerCase().includes(search))
  const page = isSorted
    ? { items: all.slice(0, size), nextToken: undefined }
    : pageOf(all, { question, token, size }, ({ value }) => [value])
  return {
    items: page.items,
    about: { ReturnSize: page.items.length, TotalSize: all.length, NextPageToken: page.nextToken },
  }
}

function sortingsOf(input: JsonInput): Sorting[] {
  return input.structures('SortBy').map((sorting) => ({
    metric: metricNamed(sorting.requiredText('Key'), 'SortBy key').of,
    isDescending: sorting.oneOf('SortOrder', ['ASCENDING', 'DESCENDING']) === 'DESCENDING',
  }))
}

function byMetrics(found: readonly Found[], sortings: readonly Sorting[], currency: string): Found[] {
  const rows = found.map((item) => ({
    item,
    amounts: sortings.map(({ metric }) => metricOf(item.groups, metric, currency).amount),
  }))
  rows.sort((a, b) => {
    for (const [i, { isDescending }] of sortings.entries()) {
      const order = a.amounts[i]!.compare(b.amounts[i]!)
      if (order !== 0) return isDescending ? -order : order
    }
    return 0
  })
  return rows.map(({ item }) => item)
}
