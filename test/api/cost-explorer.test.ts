/** Cost Explorer through the official client: what it tells is what the cloud's own costs are, cut as it was asked. */
import {
  type Expression,
  GetCostAndUsageCommand,
  type GetCostAndUsageCommandInput,
  GetCostAndUsageWithResourcesCommand,
  GetCostForecastCommand,
  GetDimensionValuesCommand,
  GetTagsCommand,
  GetUsageForecastCommand,
  type GroupDefinition,
  type ResultByTime,
} from '@aws-sdk/client-cost-explorer'
import { describe, expect, test } from 'vitest'
import type { CostDimension } from '../../src/cloud/metering/cost-query.ts'
import { type Exact, exactOf, reportText, sumOf } from '../../src/prices/money.ts'
import { neighbour, newcomer, spender, unpricedRegion, useCostAccounts } from '../support/cost-accounts.ts'

const accounts = useCostAccounts()
const { day } = accounts

const client = (accountId = spender) => accounts.served().ce(accountId)
/** Three days, the last of which is over: what they cost changes no more. */
const lived = () => ({ Start: day(0), End: day(3) })
const livedS = () => ({ fromS: Date.parse(day(0)) / 1000, toS: Date.parse(day(3)) / 1000 })

async function ask(more: Partial<GetCostAndUsageCommandInput> = {}, accountId = spender): Promise<ResultByTime[]> {
  const request: GetCostAndUsageCommandInput = {
    ...{ TimePeriod: lived(), Granularity: 'DAILY', Metrics: ['UnblendedCost'] },
    ...more,
  }
  return (await client(accountId).send(new GetCostAndUsageCommand(request))).ResultsByTime!
}

const daysOfMonth = (first: string) => new Date(Date.UTC(+first.slice(0, 4), +first.slice(5, 7), 0)).getUTCDate()

const dimension = (Key: string): GroupDefinition => ({ Type: 'DIMENSION', Key })
const is = (Key: string, ...Values: string[]) => ({ Dimensions: { Key, Values } }) as Expression
const amountsOf = (results: readonly ResultByTime[], metric = 'UnblendedCost') =>
  results.flatMap(({ Groups, Total }) =>
    Groups!.length > 0 ? Groups!.map(({ Metrics }) => Metrics![metric]!.Amount!) : (Total![metric]?.Amount ?? []),
  )
const totalOf = (results: readonly ResultByTime[]) => sumOf(amountsOf(results).map(exactOf))

/** Each amount is rounded at the tenth place. */
function expectSum(results: readonly ResultByTime[], whole: Exact): void {
  const most = exactOf('0.00000000005').mul(Math.max(1, amountsOf(results).length))
  const error = totalOf(results).sub(whole).abs()
  expect(error.compare(most), `${error} away, at most ${most}`).toBeLessThanOrEqual(0)
}

const groupings: [aws: GroupDefinition[], own: CostDimension[]][] = [
  [[], []],
  [[dimension('SERVICE')], ['billed-service']],
  [[dimension('REGION')], ['region']],
  [[dimension('USAGE_TYPE')], ['usage-type', 'region']],
  [[dimension('INSTANCE_TYPE')], ['instance-type']],
  [[dimension('LINKED_ACCOUNT')], ['account']],
  [[dimension('RECORD_TYPE')], []],
  [[{ Type: 'TAG', Key: 'team' }], ['tag:team']],
  [
    [dimension('SERVICE'), dimension('REGION')],
    ['billed-service', 'region'],
  ],
  [
    [{ Type: 'TAG', Key: 'team' }, dimension('INSTANCE_TYPE')],
    ['tag:team', 'instance-type'],
  ],
]

describe.each(['DAILY', 'MONTHLY', 'HOURLY'] as const)('costs %s', (Granularity) => {
  const granularity = { DAILY: 'day', MONTHLY: 'month', HOURLY: 'hour' } as const
  const period = () =>
    Granularity === 'HOURLY' ? { Start: `${day(0)}T00:00:00Z`, End: `${day(3)}T00:00:00Z` } : lived()

  test.each(groupings)('by %j are those of the cloud', async (GroupBy, groupBy) => {
    const { costs } = accounts.served().cloud
    const query = { ...livedS(), accountIds: [spender] }
    const own = await costs.report({ ...query, granularity: granularity[Granularity], groupBy })
    const whole = await costs.report({ ...query, granularity: 'total', groupBy: [] })
    const results = await ask({ Granularity, GroupBy, TimePeriod: period() })
    expect(results).toHaveLength({ DAILY: 3, MONTHLY: 1, HOURLY: 72 }[Granularity])
    expectSum(results, whole.total)
    const costly = (texts: string[]) => texts.filter((text) => Number(text) !== 0).sort()
    expect(costly(amountsOf(results))).toEqual(costly(own.groups.map(({ cost }) => reportText(cost))))
    expect(Number(reportText(whole.total))).toBeGreaterThan(0)
  })
})

test('a day of a t3.micro is 24 hours and costs 24 times what an hour does; all costs are the same', async () => {
  const costs = ['AmortizedCost', 'BlendedCost', 'NetAmortizedCost', 'NetUnblendedCost', 'UnblendedCost']
  const [, second] = await ask({
    Metrics: [...costs, 'UsageQuantity', 'NormalizedUsageAmount'],
    Filter: is('USAGE_TYPE', 'BoxUsage:t3.micro'),
  })
  expect(second).toEqual({
    TimePeriod: { Start: day(1), End: day(2) },
    Total: {
      ...Object.fromEntries(costs.map((name) => [name, { Amount: '0.2496000000', Unit: 'USD' }])),
      UsageQuantity: { Amount: '24.0000000000', Unit: 'Hrs' },
      NormalizedUsageAmount: { Amount: '12.0000000000', Unit: 'N/A' },
    },
    Groups: [],
    Estimated: false,
  })
})

test('groups have the keys that AWS gives them', async () => {
  const keysBy = async (...GroupBy: GroupDefinition[]) => {
    const [, , third] = await ask({ GroupBy })
    return third!.Groups!.map(({ Keys }) => Keys!.join(' + '))
  }
  expect(await keysBy(dimension('SERVICE'))).toEqual([
    'Amazon Elastic Compute Cloud - Compute',
    'Amazon Virtual Private Cloud',
    'EC2 - Other',
  ])
  expect(await keysBy(dimension('USAGE_TYPE'))).toEqual(
    expect.arrayContaining([
      'BoxUsage:t3.micro',
      'EU-BoxUsage:t3.micro',
      'EBS:VolumeUsage.gp3',
      'EUW3-BoxUsage:m5.large',
    ]),
  )
  expect(await keysBy(dimension('INSTANCE_TYPE'))).toEqual(['NoInstanceType', 'm5.large', 't3.micro'])
  expect(await keysBy({ Type: 'TAG', Key: 'team' })).toEqual(['team$', 'team$blue', 'team$red'])
  expect(await keysBy({ Type: 'TAG', Key: 'constructor' })).toEqual(['constructor$'])
  expect(await keysBy(dimension('LINKED_ACCOUNT'), dimension('RECORD_TYPE'))).toEqual([`${spender} + Usage`])
})

test('quantities of one unit have it, and of several none', async () => {
  const unitOf = async (...types: string[]) =>
    (await ask({ Metrics: ['UsageQuantity'], Filter: is('USAGE_TYPE', ...types) }))[1]!.Total!.UsageQuantity!.Unit
  expect(await unitOf('BoxUsage:t3.micro', 'EU-BoxUsage:t3.micro')).toBe('Hrs')
  expect(await unitOf('EBS:VolumeUsage.gp3')).toBe('GB-Mo')
  expect(await unitOf('BoxUsage:t3.micro', 'EBS:VolumeUsage.gp3')).toBe('N/A')
})

test('what has no price is used, costs nothing, and is told', async () => {
  const request = { TimePeriod: lived(), Granularity: 'DAILY' as const, Metrics: ['UnblendedCost', 'UsageQuantity'] }
  const Filter = is('USAGE_TYPE', 'EUW3-BoxUsage:m5.large')
  const answer = await client().send(new GetCostAndUsageCommand({ ...request, Filter }))
  expect(answer.ResultsByTime![1]!.Total).toEqual({
    UnblendedCost: { Amount: '0.0000000000', Unit: 'USD' },
    UsageQuantity: { Amount: '24.0000000000', Unit: 'Hrs' },
  })
  const description = `no price for BoxUsage:m5.large in ${unpricedRegion}`
  const told = [{ Value: 'EUW3-BoxUsage:m5.large', Attributes: { description } }]
  expect(answer.DimensionValueAttributes).toEqual(told)
  const values = await client().send(
    new GetDimensionValuesCommand({ TimePeriod: lived(), Dimension: 'USAGE_TYPE', SearchString: 'M5.LARGE' }),
  )
  expect(values).toMatchObject({ DimensionValues: told, ReturnSize: 1, TotalSize: 1 })
})

describe('filters', () => {
  const both = async (Filter: Expression) => reportText(totalOf(await ask({ Filter })))

  test('take what they say, and their opposite the rest', async () => {
    const whole = totalOf(await ask())
    const filters: Expression[] = [
      is('REGION', 'us-east-1'),
      is('SERVICE', 'EC2 - Other', 'Amazon Virtual Private Cloud'),
      is('INSTANCE_TYPE', 'NoInstanceType'),
      { Tags: { Key: 'team', Values: ['red', 'green'] } },
      { Tags: { Key: 'team', MatchOptions: ['ABSENT'] } },
      { And: [is('REGION', 'us-east-1'), is('INSTANCE_TYPE', 't3.micro')] },
      { Or: [is('REGION', 'us-east-1'), { Tags: { Key: 'team', Values: ['blue'] } }] },
    ]
    for (const Filter of filters) {
      const [part, rest] = [totalOf(await ask({ Filter })), totalOf(await ask({ Filter: { Not: Filter } }))]
      expect(Number(reportText(part)), JSON.stringify(Filter)).toBeGreaterThan(0)
      expect(Number(reportText(rest)), JSON.stringify(Filter)).toBeGreaterThan(0)
      expect(Number(reportText(part.add(rest).sub(whole)))).toBeCloseTo(0, 8)
    }
  })

  test('that say the same in other words take the same', async () => {
    const red = await both({ Tags: { Key: 'team', Values: ['red'], MatchOptions: ['EQUALS', 'CASE_SENSITIVE'] } })
    expect(await both({ And: [{ Tags: { Key: 'team', Values: ['red'] } }, is('RECORD_TYPE', 'Usage')] })).toBe(red)
    const untagged = await both({ Tags: { Key: 'team', Values: [''] } })
    expect(await both({ Tags: { Key: 'team' } })).toBe(untagged)
    expect(await both({ Tags: { MatchOptions: ['ABSENT'] } })).toBe(untagged)
    expect(await both(is('LINKED_ACCOUNT', neighbour))).toBe('0.0000000000')
  })
})

test('the only view of costs has them all', async () => {
  const BillingViewArn = `arn:aws:billing::${spender}:billingview/primary`
  expect(await ask({ BillingViewArn })).toEqual(await ask())
})

test('accounts see their own costs, and a new one sees that it has none', async () => {
  const [, own] = await ask({ GroupBy: [dimension('INSTANCE_TYPE')] }, neighbour)
  expect(own!.Groups!.map(({ Keys }) => Keys![0])).toEqual(['NoInstanceType', 't3.large'])
  const none = await ask({ GroupBy: [dimension('SERVICE')] }, newcomer)
  expect(none.map(({ Groups, Total }) => [Groups, Total])).toEqual([
    [[], {}],
    [[], {}],
    [[], {}],
  ])
  expect(amountsOf(await ask({}, newcomer))).toEqual(['0.0000000000', '0.0000000000', '0.0000000000'])
})

test('a period that has not ended is estimated', async () => {
  const results = await ask({ TimePeriod: { Start: day(2), End: day(4) } })
  expect(results.map(({ Estimated }) => Estimated)).toEqual([false, true])
})

test('with resources, costs are those of each instance and volume', async () => {
  const answer = await client().send(
    new GetCostAndUsageWithResourcesCommand({
      ...{ TimePeriod: lived(), Granularity: 'DAILY', Metrics: ['UnblendedCost'] },
      Filter: is('SERVICE', 'Amazon Elastic Compute Cloud - Compute'),
      GroupBy: [dimension('RESOURCE_ID'), dimension('USAGE_TYPE')],
    }),
  )
  const { tagged, stopped, other, unpriced } = accounts.instances
  const running = (result: ResultByTime) => Object.fromEntries(result.Groups!.map(({ Keys }) => [Keys![0], Keys![1]]))
  const [, second, third] = answer.ResultsByTime!
  expect(running(second!)).toEqual({
    ...{ [tagged]: 'EU-BoxUsage:t3.micro', [stopped]: 'EU-BoxUsage:t3.micro' },
    ...{ [other]: 'BoxUsage:t3.micro', [unpriced]: 'EUW3-BoxUsage:m5.large' },
  })
  expect(Object.keys(running(third!)).sort()).toEqual([tagged, other, unpriced].sort())
  const volume = await client().send(
    new GetCostAndUsageWithResourcesCommand({
      ...{ TimePeriod: lived(), Granularity: 'DAILY', Metrics: ['UsageQuantity'] },
      Filter: is('RESOURCE_ID', accounts.volumeId),
    }),
  )
  const quantities = volume.ResultsByTime!.map(({ Total }) => Total!.UsageQuantity!.Amount)
  const aDay = reportText(exactOf('100').div(daysOfMonth(day(0))))
  expect(quantities.slice(1)).toEqual([aDay, aDay])
})

describe('forecasts', () => {
  const month = () => ({ Start: day(4), End: day(14) })

  test('are what it costs when everything goes on as it is', async () => {
    const query = { fromS: Date.parse(day(4)) / 1000, toS: Date.parse(day(14)) / 1000, accountIds: [spender] }
    const { costs } = accounts.served().cloud
    const own = await costs.report({ ...query, granularity: 'day', groupBy: [] }, query.toS)
    const request = { TimePeriod: month(), Granularity: 'DAILY', Metric: 'UNBLENDED_COST' } as const
    const { Total, ForecastResultsByTime: byDay } = await client().send(
      new GetCostForecastCommand({ ...request, PredictionIntervalLevel: 80 }),
    )
    expect(Total).toEqual({ Amount: reportText(own.total), Unit: 'USD' })
    expect(byDay).toEqual(
      own.groups.map(({ cost }, i) => {
        const mean = reportText(cost)
        const bounds = { PredictionIntervalLowerBound: mean, PredictionIntervalUpperBound: mean }
        return { TimePeriod: { Start: day(4 + i), End: day(5 + i) }, MeanValue: mean, ...bounds }
      }),
    )
  })

  test('of usage have its unit', async () => {
    const request = { TimePeriod: month(), Granularity: 'MONTHLY', Metric: 'USAGE_QUANTITY' } as const
    const filtered = { ...request, Filter: is('USAGE_TYPE', 'BoxUsage:t3.micro') }
    const { Total } = await client().send(new GetUsageForecastCommand(filtered))
    expect(Total).toEqual({ Amount: '240.0000000000', Unit: 'Hrs' })
    await expect(client().send(new GetUsageForecastCommand(request))).rejects.toMatchObject({
      name: 'UnresolvableUsageUnitException',
      message: expect.stringContaining('usage unit'),
    })
  })

  test('need something that can go on', async () => {
    const request = { TimePeriod: month(), Granularity: 'DAILY', Metric: 'UNBLENDED_COST' } as const
    await expect(client(newcomer).send(new GetCostForecastCommand(request))).rejects.toMatchObject({
      name: 'DataUnavailableException',
      message: expect.stringContaining('Insufficient'),
    })
  })
})

describe('values', () => {
  const valuesOf = async (Dimension: string, more = {}) => {
    const request = { TimePeriod: lived(), Dimension: Dimension as 'SERVICE', ...more }
    const { DimensionValues: values } = await client().send(new GetDimensionValuesCommand(request))
    return values!.map(({ Value }) => Value)
  }
  const tagsOf = async (more = {}) => {
    const { Tags } = await client().send(new GetTagsCommand({ TimePeriod: lived(), ...more }))
    return Tags
  }

  test('of dimensions are those that were used', async () => {
    expect(await valuesOf('REGION')).toEqual(['eu-west-1', 'eu-west-3', 'us-east-1'])
    expect(await valuesOf('REGION', { SearchString: 'WEST' })).toEqual(['eu-west-1', 'eu-west-3'])
    expect(await valuesOf('REGION', { Context: 'RESERVATIONS' })).toEqual([])
    expect(await valuesOf('INSTANCE_TYPE', { Filter: is('REGION', 'eu-west-1') })).toEqual([
      'NoInstanceType',
      't3.micro',
    ])
  })

  test('are sorted by metrics', async () => {
    const by = (SortOrder: string) => ({ SortBy: [{ Key: 'UnblendedCost', SortOrder }] })
    const dearest = await valuesOf('REGION', by('DESCENDING'))
    expect(dearest).toEqual((await valuesOf('REGION', by('ASCENDING'))).reverse())
    expect(await valuesOf('REGION', { ...by('ASCENDING'), MaxResults: 1 })).toEqual(dearest.slice(-1))
  })

  test('of tags are those of what was used', async () => {
    expect(await tagsOf()).toEqual(['stage', 'team'])
    expect(await tagsOf({ TagKey: 'team' })).toEqual(['', 'blue', 'red'])
    expect(await tagsOf({ TagKey: 'team', SearchString: 're' })).toEqual(['red'])
    expect(await tagsOf({ TagKey: 'team', MaxResults: 2 })).toEqual(['', 'blue'])
    const sorted = {
      SortBy: [{ Key: 'UsageQuantity', SortOrder: 'DESCENDING' }],
      Filter: is('SERVICE', 'Amazon Elastic Compute Cloud - Compute'),
    }
    expect(await tagsOf({ ...sorted, TagKey: 'team' })).toEqual(['', 'red', 'blue'])
  })
})

// Last: it lets more than a year go by.
test('many groups come page by page, each once', async () => {
  accounts.clock.moveOn(380 * 86_400_000)
  const End = day(380)
  const request: GetCostAndUsageCommandInput = {
    ...{ TimePeriod: { Start: day(3), End }, Granularity: 'DAILY', Metrics: ['UnblendedCost'] },
    GroupBy: [dimension('USAGE_TYPE')],
  }
  const seen: string[] = []
  const amounts: Exact[] = []
  let NextPageToken: string | undefined
  let pages = 0
  do {
    const page: { ResultsByTime?: ResultByTime[]; NextPageToken?: string } = await client().send(
      new GetCostAndUsageCommand({ ...request, ...(NextPageToken ? { NextPageToken } : {}) }),
    )
    for (const { TimePeriod, Groups } of page.ResultsByTime!) {
      for (const { Keys, Metrics } of Groups!) {
        seen.push(`${TimePeriod!.Start} ${Keys![0]}`)
        amounts.push(exactOf(Metrics!.UnblendedCost!.Amount!))
      }
    }
    NextPageToken = page.NextPageToken
    pages++
  } while (NextPageToken)
  expect(pages).toBe(Math.ceil(seen.length / 1000))
  expect(pages).toBeGreaterThan(2)
  expect(new Set(seen).size).toBe(seen.length)
  expect(seen).toEqual([...seen].sort())
  const query = { fromS: Date.parse(day(3)) / 1000, toS: Date.parse(End) / 1000, accountIds: [spender] }
  const whole = await accounts.served().cloud.costs.report({ ...query, granularity: 'total', groupBy: [] })
  expect(Number(reportText(sumOf(amounts).sub(whole.total).abs()))).toBeLessThan(seen.length * 1e-10)

  const { NextPageToken: first } = await client().send(new GetCostAndUsageCommand(request))
  const other = new GetCostAndUsageCommand({ ...request, Metrics: ['BlendedCost'], NextPageToken: first! })
  await expect(client().send(other)).rejects.toMatchObject({ name: 'RequestChangedException' })
})
