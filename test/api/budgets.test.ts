/** Budgets on a clock that the test moves: thresholds are crossed once a month, also in a month that ended unseen. */
import { CreateVolumeCommand, DeleteVolumeCommand, waitUntilVolumeAvailable } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { monthOf } from '../../src/cloud/metering/cost-query.ts'
import { startOfMonth } from '../../src/lib/utc-times.ts'
import { readPriceSheet } from '../../src/prices/sheets.ts'
import { movingClock } from '../support/moving-clock.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const clock = movingClock()
const monthS = startOfMonth(clock.now() / 1000, 1)
const nextMonthS = startOfMonth(monthS, 1)
const moveTo = (timeS: number) => clock.moveOn(timeS * 1000 - clock.now())

// A volume of 10 GiB costs 10 a month.
const prices = readPriceSheet(
  Buffer.from(
    [
      ...['format,kiln-price-sheet', 'version,1', 'currency,CHF', 'asOf,2026-11-01', 'source,the test'],
      ...['region,usageType,unit,price', '*,EBS:VolumeUsage.gp2,GB-Mo,1'],
    ].join('\n'),
  ),
)
const served = useServedCloud({ isLive: true, clock, prices })

const budgets = (method: string, path = '', body?: unknown) => served().control(method, `/_kiln/budgets${path}`, body)
const usual = [
  { percent: 50, basis: 'actual' },
  { percent: 100, basis: 'actual' },
  { percent: 100, basis: 'forecast' },
]
const wish = (name: string, more: object = {}) => ({ name, amount: '8', thresholds: usual, ...more })
const eventsOf = async (name: string) => {
  await served().cloud.budgets.pass()
  const { answer } = await served().control('GET', `/_kiln/budget-events?budget=${name}`)
  return answer.map(({ month, percent, basis }: { month: string; percent: number; basis: string }) =>
    [month, basis, percent].join(' '),
  )
}
let volumeId: string

beforeAll(async () => {
  moveTo(monthS + 1)
  const ec2 = served().client('000000000001', 'eu-west-1')
  const made = await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1a', Size: 10, VolumeType: 'gp2' }))
  volumeId = made.VolumeId!
  await waitUntilVolumeAvailable({ client: ec2, maxWaitTime: 30, minDelay: 1 }, { VolumeIds: [volumeId] })
})

test('a budget is told of at once what is crossed by then, and each later threshold once', async () => {
  const month = monthOf(monthS)
  const { answer } = await budgets('POST', '', wish('lab', { account: '000000000001', region: 'eu-west-1' }))
  expect(answer).toMatchObject({ name: 'lab', amount: '8', currency: 'CHF', month, region: 'eu-west-1' })
  expect(Number(answer.forecast)).toBeCloseTo(10, 3)
  expect(answer.thresholds.map(({ isCrossed }: { isCrossed: boolean }) => isCrossed)).toEqual([false, false, true])
  expect(await eventsOf('lab')).toEqual([`${month} forecast 100`])
  clock.moveOn(0.5 * (nextMonthS - monthS) * 1000)
  expect(await eventsOf('lab')).toEqual([`${month} actual 50`, `${month} forecast 100`])
  // Judged by several at once, and again.
  await Promise.all([1, 2, 3].map(() => served().cloud.budgets.pass()))
  expect(await eventsOf('lab')).toHaveLength(2)
})

test('what others use is not in it, and what has another tag', async () => {
  await budgets('POST', '', wish('others', { account: '000000000002' }))
  await budgets('POST', '', wish('tagged', { tag: { key: 'team', value: 'blue' } }))
  expect([await eventsOf('others'), await eventsOf('tagged')]).toEqual([[], []])
  expect((await budgets('GET', '/others')).answer).toMatchObject({ soFar: '0.0000000000', forecast: '0.0000000000' })
})

test('a month that ended while nobody judged is judged afterwards, and the next one for itself', async () => {
  moveTo(nextMonthS + 60)
  const [month, next] = [monthOf(monthS), monthOf(nextMonthS)]
  const expected = [`${next} forecast 100`, `${month} actual 100`, `${month} actual 50`, `${month} forecast 100`]
  expect(await eventsOf('lab')).toEqual(expected)
  const ec2 = served().client('000000000001', 'eu-west-1')
  await ec2.send(new DeleteVolumeCommand({ VolumeId: volumeId }))
  expect(Number((await budgets('GET', '/lab')).answer.forecast)).toBeLessThan(0.1)
  expect(await eventsOf('lab')).toEqual(expected)
})

test('what a budget noted outlives it, and another of its name begins anew', async () => {
  const before = await eventsOf('lab')
  expect((await budgets('DELETE', '/lab')).status).toBe(200)
  expect(await eventsOf('lab')).toEqual(before)
  const { answer } = await budgets('POST', '', wish('lab'))
  expect(answer.thresholds.some(({ isCrossed }: { isCrossed: boolean }) => isCrossed)).toBe(false)
  const listed = (await budgets('GET')).answer.map(({ name }: { name: string }) => name)
  expect(listed).toEqual(['lab', 'others', 'tagged'])
})

test.each<[object, string, string]>([
  [wish('lab'), 'DuplicateRecordException', "'lab'"],
  [wish('a b'), 'InvalidParameterValue', "name 'a b'"],
  [wish('x', { amount: '0' }), 'InvalidParameterValue', "amount '0'"],
  [wish('x', { amount: 5 }), 'InvalidParameterValue', 'amount is not a text'],
  [wish('x', { account: '12' }), 'InvalidParameterValue', 'account'],
  [wish('x', { region: 'mars-1' }), 'InvalidParameterValue', "region 'mars-1'"],
  [wish('x', { tag: { key: '', value: '' } }), 'InvalidParameterValue', 'tag.key'],
  [wish('x', { thresholds: [] }), 'InvalidParameterValue', 'thresholds has 0'],
  [wish('x', { thresholds: [{ percent: 0.5, basis: 'actual' }] }), 'InvalidParameterValue', 'thresholds: 0.5'],
  [wish('x', { thresholds: [{ percent: 5, basis: 'hope' }] }), 'InvalidParameterValue', 'thresholds[0].basis'],
  [wish('x', { thresholds: [usual[0], usual[0]] }), 'InvalidParameterValue', 'twice'],
])('%j is refused as %s', async (asked, code, named) => {
  const { status, answer } = await budgets('POST', '', asked)
  expect({ status, answer }).toEqual({ status: 400, answer: { code, error: expect.stringContaining(named) } })
})

test('a budget that is not there is NotFoundException', async () => {
  const answers = [await budgets('GET', '/none'), await budgets('DELETE', '/none')]
  expect(answers.map(({ status, answer }) => [status, answer.code])).toEqual(Array(2).fill([400, 'NotFoundException']))
})
