/** What spot instances cost: a day is lived with some of two types, of which the price sheet knows one as spot. */
import { RunInstancesCommand, TerminateInstancesCommand } from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { reportText } from '../../src/prices/money.ts'
import { readPriceSheet } from '../../src/prices/sheets.ts'
import { dayMs, hourMs, LivedTime } from '../support/lived-time.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const accountId = '111122223333'
const beginMs = Date.UTC(2026, 5, 1)
const prices = readPriceSheet(
  Buffer.from(`format,kiln-price-sheet
version,1
currency,USD
asOf,2026-06-01
source,the test
region,usageType,unit,price
*,BoxUsage:t3.nano,Hrs,0.10
*,SpotUsage:t3.nano,Hrs,0.03
*,BoxUsage:t3.micro,Hrs,0.20
`),
)

const time = new LivedTime(beginMs - dayMs)
const served = useServedCloud({ isLive: true, prices, ...time.options() })

test('a spot instance costs its own price while it runs, and the on-demand price where the sheet has no other', async () => {
  const { cloud, deps } = served()
  const ec2 = served().client(accountId)
  const scope = { accountId, region: 'eu-west-1' }
  await cloud.enter(scope)
  const [seed] = (await cloud.images.list(scope, { owners: ['amazon'] })).items
  await time.reach(served(), beginMs)
  const launch = async (InstanceType: 't3.nano' | 't3.micro', MarketType?: 'spot') => {
    const request = { ImageId: seed!.id, InstanceType, MinCount: 1, MaxCount: 1 }
    const market = MarketType && { InstanceMarketOptions: { MarketType } }
    return (await ec2.send(new RunInstancesCommand({ ...request, ...market }))).Instances![0]!.InstanceId!
  }
  const InstanceIds = [await launch('t3.nano', 'spot'), await launch('t3.nano'), await launch('t3.micro', 'spot')]
  await time.rest(served())
  const states = async () => (await deps.state.instances.many(InstanceIds)).map(({ state }) => state)
  expect(await states()).toEqual(['running', 'running', 'running'])
  await time.reach(served(), beginMs + 10 * hourMs)
  await ec2.send(new TerminateInstancesCommand({ InstanceIds }))
  await time.rest(served())
  expect(await states()).toEqual(['terminated', 'terminated', 'terminated'])
  await time.reach(served(), beginMs + dayMs)

  const day = { fromS: beginMs / 1000, toS: (beginMs + dayMs) / 1000, accountIds: [accountId] }
  const bill = await cloud.costs.report({ ...day, granularity: 'day', groupBy: ['usage-type', 'instance-type'] })
  const lines = bill.groups.map(({ keys, cost }) => [...keys, reportText(cost)])
  expect(lines.filter(([usageType]) => usageType!.includes('Usage:t')).sort()).toEqual([
    ['BoxUsage:t3.nano', 't3.nano', '1.0000000000'],
    ['SpotUsage:t3.micro', 't3.micro', '2.0000000000'],
    ['SpotUsage:t3.nano', 't3.nano', '0.3000000000'],
  ])
})
