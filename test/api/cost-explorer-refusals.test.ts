/** What Cost Explorer refuses, with AWS's codes and messages that name what was wrong. */
import {
  type Expression,
  GetCostAndUsageCommand,
  type GetCostAndUsageCommandInput,
  GetCostAndUsageWithResourcesCommand,
  GetCostForecastCommand,
  GetDimensionValuesCommand,
  GetTagsCommand,
  type GroupDefinition,
} from '@aws-sdk/client-cost-explorer'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { dateText, spender } from '../support/cost-accounts.ts'
import { useServedCloud } from '../support/served-cloud.ts'

// Fifteen days into a month, so that there is a past and a future in it.
const clock = { now: () => Date.UTC(2026, 10, 15, 12), sleep: systemClock.sleep }
const served = useServedCloud({ clock })
const client = () => served().ce(spender)
const day = (number: number) => dateText(Date.UTC(2026, 10, 12 + number))
const lived = () => ({ Start: day(0), End: day(3) })
const dimension = (Key: string): GroupDefinition => ({ Type: 'DIMENSION', Key })
const is = (Key: string, ...Values: string[]) => ({ Dimensions: { Key, Values } }) as Expression

describe('Cost Explorer refuses', () => {
  const usage = (change: object) => () =>
    client().send(
      new GetCostAndUsageCommand({
        ...{ TimePeriod: lived(), Granularity: 'DAILY', Metrics: ['UnblendedCost'], ...change },
      } as GetCostAndUsageCommandInput),
    )
  const resources = (change: object) => () =>
    client().send(
      new GetCostAndUsageWithResourcesCommand({
        ...{ TimePeriod: lived(), Granularity: 'DAILY', Metrics: ['UnblendedCost'] },
        ...{ Filter: is('SERVICE', 'EC2 - Other'), ...change },
      }),
    )
  const forecast = (change: object) => () =>
    client().send(
      new GetCostForecastCommand({
        ...{ TimePeriod: { Start: day(4), End: day(14) }, Granularity: 'DAILY', Metric: 'BLENDED_COST', ...change },
      }),
    )
  const from = (Start: string, End = day(3)) => ({ TimePeriod: { Start, End } })
  const hourly = (Start: string) => ({ ...from(Start, `${day(3)}T00:00:00Z`), Granularity: 'HOURLY' })
  let deep: Expression = is('REGION', 'eu-west-1')
  for (let i = 0; i < 20; i++) deep = { Not: deep }

  const refusals: [what: string, request: () => () => Promise<unknown>, message: string, code?: string][] = [
    ['no time', () => usage({ TimePeriod: undefined }), "Value null at 'timePeriod' failed"],
    ['no end', () => usage({ TimePeriod: { Start: day(0) } }), "Value null at 'timePeriod.end' failed"],
    [
      'a day that is none',
      () => usage(from('2026-02-30')),
      'Start time 2026-02-30 is invalid. Valid format is: yyyy-MM-dd.',
    ],
    ['hours by the day', () => usage(from(`${day(0)}T00:00:00Z`)), 'Valid format is: yyyy-MM-dd.'],
    [
      'days by the hour',
      () => usage({ ...from(day(0)), Granularity: 'HOURLY' }),
      'Valid format is: yyyy-MM-ddThh:mm:ssZ.',
    ],
    [
      'an end before the start',
      () => usage(from(day(3))),
      'Start date (and hour) should be before end date (and hour)',
    ],
    ['an end too far', () => usage(from(day(0), day(40))), 'end date past the beginning of next month'],
    ['a start to come', () => usage(from(day(6), day(7))), 'Start date (and hour)'],
    ['days long ago', () => usage(from(day(-500))), "You haven't enabled historical data beyond 14 months."],
    [
      'the middle of a month long ago',
      () => usage({ ...from('2024-06-02'), Granularity: 'MONTHLY' }),
      'needs to be the first day of the month',
    ],
    [
      'months very long ago',
      () => usage({ ...from('2022-06-01'), Granularity: 'MONTHLY' }),
      'The requested report expired',
      'BillExpirationException',
    ],
    ['hours long ago', () => usage(hourly(`${day(-20)}T00:00:00Z`)), 'within the last 14 days'],
    [
      'an unknown granularity',
      () => usage({ Granularity: 'YEARLY' }),
      "Value 'YEARLY' at 'granularity' failed to satisfy constraint: Member must satisfy enum value set: [DAILY, MONTHLY, HOURLY]",
    ],
    [
      'the view of another account',
      () => usage({ BillingViewArn: 'arn:aws:billing::999999999999:billingview/primary' }),
      'billingview/primary',
      'ResourceNotFoundException',
    ],
    ['no metrics', () => usage({ Metrics: [] }), 'Metrics is required'],
    ['an unknown metric', () => usage({ Metrics: ['Tea'] }), "Metrics 'Tea' is not valid"],
    [
      'three groupings',
      () => usage({ GroupBy: ['SERVICE', 'REGION', 'USAGE_TYPE'].map(dimension) }),
      'Only two values for GroupBy are allowed',
    ],
    [
      'an unknown grouping',
      () => usage({ GroupBy: [dimension('constructor')] }),
      "GroupBy key 'constructor' is not supported",
    ],
    [
      'a grouping without a key',
      () => usage({ GroupBy: [{ Type: 'TAG' }] }),
      "Value null at 'groupBy.1.member.key' failed",
    ],
    ['cost categories', () => usage({ GroupBy: [{ Type: 'COST_CATEGORY', Key: 'x' }] }), "cost category 'x'"],
    ['resources', () => usage({ GroupBy: [dimension('RESOURCE_ID')] }), 'GetCostAndUsageWithResources alone'],
    ['no expression', () => usage({ Filter: {} }), 'Expression has no root'],
    [
      'two expressions in one',
      () => usage({ Filter: { ...is('REGION', 'x'), Tags: { Key: 'y' } } }),
      'Expression has more than one roots',
    ],
    ['half an And', () => usage({ Filter: { And: [is('REGION', 'x')] } }), 'And must have at least two operands'],
    ['a deep filter', () => usage({ Filter: deep }), 'more than 16 levels'],
    ['a dimension without values', () => usage({ Filter: is('REGION') }), 'Filter dimension REGION has no Values'],
    [
      'an unknown dimension',
      () => usage({ Filter: is('TENANCY', 'x') }),
      "Filter dimension 'TENANCY' is not supported",
    ],
    [
      'another way to match',
      () => usage({ Filter: { Dimensions: { Key: 'REGION', Values: ['x'], MatchOptions: ['CONTAINS'] } } }),
      "MatchOptions 'CONTAINS'",
    ],
    [
      'a tag that is absent and has a value',
      () => usage({ Filter: { Tags: { Key: 'a', Values: ['b'], MatchOptions: ['ABSENT'] } } }),
      'ABSENT',
    ],
    ['categories in a filter', () => usage({ Filter: { CostCategories: { Key: 'x' } } }), 'CostCategories'],
    [
      'a list for a text',
      () => usage({ Filter: { Tags: { Key: ['x'] } } }),
      "The value at 'filter.tags.key' is not a string",
      'SerializationException',
    ],
    [
      'a text for a list',
      () => usage({ GroupBy: {} }),
      "The value at 'groupBy' is not a list",
      'SerializationException',
    ],
    ['a token that is none', () => usage({ NextPageToken: 'x' }), 'pagination token', 'InvalidNextTokenException'],
    [
      'resources of last month',
      () => resources({ ...from(day(-20)), GroupBy: [dimension('RESOURCE_ID')] }),
      'within the last 14 days',
    ],
    [
      'resources without a filter',
      () => resources({ Filter: undefined, GroupBy: [dimension('RESOURCE_ID')] }),
      "Value null at 'filter' failed",
    ],
    ['resources without resources', () => resources({}), 'RESOURCE_ID'],
    ['a forecast of what was', () => forecast(from(day(0), day(14))), 'later than the current date'],
    ['a forecast by the hour', () => forecast({ Granularity: 'HOURLY' }), 'HOURLY'],
    ['a forecast of years', () => forecast(from(day(4), day(400))), 'within the next 3 months'],
    [
      'a forecast of usage as costs',
      () => forecast({ Metric: 'USAGE_QUANTITY' }),
      'Metric USAGE_QUANTITY is not valid',
    ],
    [
      'a sure forecast',
      () => forecast({ PredictionIntervalLevel: 100 }),
      "Value '100' at 'predictionIntervalLevel' failed",
    ],
    [
      'a forecast by half',
      () => forecast({ PredictionIntervalLevel: 60.5 }),
      'is not an integer',
      'SerializationException',
    ],
    [
      'values of nothing',
      () => () => client().send(new GetDimensionValuesCommand({ TimePeriod: lived(), Dimension: 'AZ' })),
      "Dimension 'AZ' is not supported",
    ],
    [
      'sorted values that are searched',
      () => () =>
        client().send(
          new GetTagsCommand({ TimePeriod: lived(), SearchString: 'x', SortBy: [{ Key: 'UsageQuantity' }] }),
        ),
      'SortBy',
    ],
    [
      'values sorted by nothing',
      () => () => client().send(new GetTagsCommand({ TimePeriod: lived(), SortBy: [{ Key: 'Tea' }] })),
      "SortBy key 'Tea'",
    ],
    [
      'too many values',
      () => () => client().send(new GetTagsCommand({ TimePeriod: lived(), MaxResults: 1001 })),
      'less than or equal to 1000',
    ],
  ]

  test.each(refusals)('%s', async (_, request, message, code = 'ValidationException') => {
    const error = await request()().then(
      () => ({ name: 'accepted', message: '' }),
      (thrown: Error) => thrown,
    )
    expect({ code: error.name, message: error.message }).toEqual({ code, message: expect.stringContaining(message) })
  })

  test.each([
    ['AWSInsightsIndexService', 404, 'UnknownOperationException'],
    ['AWSInsightsIndexService.GetAnomalies', 400, 'UnsupportedOperationException'],
    ['AWSInsightsIndexService.constructor', 400, 'UnsupportedOperationException'],
    ['TrentService.ListKeys', 404, 'UnknownOperationException'],
  ])('the operation %s', async (target, status, type) => {
    const scope = `${spender}/20260101/us-east-1/ce/aws4_request`
    const answer = await fetch(served().url, {
      method: 'POST',
      headers: {
        'x-amz-target': target,
        authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
      },
      body: '{}',
    })
    expect([answer.status, ((await answer.json()) as { __type: string }).__type]).toEqual([status, type])
  })
})
