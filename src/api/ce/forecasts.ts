/**
 * GetCostForecast and GetUsageForecast. Nothing is guessed: a forecast is what it comes to if everything that is there goes on
 * as it is now. So the bounds of a prediction interval, of whatever level, are the mean.
 */
import { amountText, type CostMetric, isBilled, metricOf } from '../../cloud/metering/cost-metrics.ts'
import type { CostQuery } from '../../cloud/metering/cost-query.ts'
import type { CostGroup } from '../../cloud/metering/costs.ts'
import { KilnError } from '../../lib/errors.ts'
import type { JsonInput } from '../json-input.ts'
import { invalid } from './dimensions.ts'
import { filterOf } from './expression.ts'
import type { CeRequest } from './handlers.ts'
import { costMetrics, usageMetrics } from './metrics.ts'
import {
  costGranularity,
  granularities,
  intervalText,
  monthsFrom,
  startOfDay,
  type TimePeriod,
  timePeriodOf,
} from './time-period.ts'

const monthsAhead = { DAILY: 3, MONTHLY: 18 } as const

export async function getCostForecast(request: CeRequest): Promise<object> {
  const { input } = request
  const metric = input.requiredOneOf('Metric', [...costMetrics, ...usageNames])
  if (isUsage(metric)) throw invalid(`Metric ${metric} is not valid. Valid values: ${costMetrics.join(', ')}`)
  return await forecast(request, 'cost')
}

export async function getUsageForecast(request: CeRequest): Promise<object> {
  const { input } = request
  const metric = input.requiredOneOf('Metric', [...costMetrics, ...usageNames])
  if (!isUsage(metric)) throw invalid(`Metric ${metric} is not valid. Valid values: ${usageNames.join(', ')}`)
  return await forecast(request, usageMetrics[metric])
}

const usageNames = ['USAGE_QUANTITY', 'NORMALIZED_USAGE_AMOUNT'] as const
const isUsage = (name: string): name is keyof typeof usageMetrics => Object.hasOwn(usageMetrics, name)

async function forecast({ input, costs, accountId }: CeRequest, metric: CostMetric): Promise<object> {
  const granularity = granularityOf(input)
  const period = comingPeriodOf(input, granularity, costs.nowS())
  const showsInterval = input.integer('PredictionIntervalLevel', { min: 51, max: 99 }) !== undefined
  const filter = filterOf(input)
  const query = { groupBy: [], accountIds: [accountId], ...(filter ? { filter } : {}) }
  await checkHistory(costs, query)
  const report = await costs.report({ ...query, ...period, granularity: costGranularity[granularity] }, period.toS)
  const meteredOf = (groups: readonly CostGroup[]) => metricOf(groups, metric, report.currency)
  const total = meteredOf(report.groups)
  if (metric === 'usage-quantity') checkUnit(report.groups, total.unit)
  const byPeriod = Map.groupBy(report.groups, (group) => group.period.fromS)
  return {
    Total: { Amount: amountText(total.amount), Unit: total.unit ?? 'N/A' },
    ForecastResultsByTime: report.periods.map((one) => {
      const mean = amountText(meteredOf(byPeriod.get(one.fromS) ?? []).amount)
      const interval = { PredictionIntervalLowerBound: mean, PredictionIntervalUpperBound: mean }
      return { TimePeriod: intervalText(one, granularity), MeanValue: mean, ...(showsInterval ? interval : {}) }
    }),
  }
}

function granularityOf(input: JsonInput): keyof typeof monthsAhead {
  const granularity = input.requiredOneOf('Granularity', granularities)
  if (granularity === 'HOURLY')
    throw invalid('Granularity HOURLY is not supported for forecasts: DAILY and MONTHLY are')
  return granularity
}

function comingPeriodOf(input: JsonInput, granularity: keyof typeof monthsAhead, nowS: number): TimePeriod {
  const period = timePeriodOf(input, granularity)
  if (period.fromS < startOfDay(nowS)) {
    throw invalid('Start date of a forecast must be equal to or later than the current date')
  }
  const months = monthsAhead[granularity]
  // So many months from today, or the end of the last of them.
  if (period.toS <= monthsFrom(nowS, months + 1)) return period
  throw invalid(`End date of a ${granularity} forecast must be within the next ${months} months`)
}

/** Who never used anything has nothing that could go on. */
async function checkHistory(
  costs: CeRequest['costs'],
  query: Pick<CostQuery, 'groupBy' | 'accountIds' | 'filter'>,
): Promise<void> {
  const { groups } = await costs.report({ ...query, fromS: 0, toS: costs.nowS() + 1, granularity: 'total' })
  if (groups.some(isBilled)) return
  throw new KilnError('DataUnavailableException', 'Insufficient amount of historical data to generate forecast')
}

function checkUnit(groups: readonly CostGroup[], unit: string | null): void {
  if (unit !== null || !groups.some(isBilled)) return
  throw new KilnError(
    'UnresolvableUsageUnitException',
    'Cost Explorer was unable to identify the usage unit. Provide USAGE_TYPE filter selections that contain matching units, for example: hours.',
  )
}
