/** What usage costs, as `kiln` asks for it: two accounts in two regions, over the end of a month, on a clock the test moves. */
import {
  CreateTagsCommand,
  DescribeVolumesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import type { CostDimension, Granularity } from '../../src/cloud/metering/cost-query.ts'
import { startOfMonth, utcText } from '../../src/lib/utc-times.ts'
import { exactOf, sumOf } from '../../src/prices/money.ts'
import { readPriceSheet } from '../../src/prices/sheets.ts'
import { callerOf } from '../support/caller.ts'
import { movingClock } from '../support/moving-clock.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const hourMs = 3600_000
const [blue, green] = ['000000000001', '000000000002']

const clock = movingClock()
/** The beginning of the month whose end the test lives through, and that of the next. */
const monthS = startOfMonth(clock.now() / 1000, 1)
const nextMonthS = startOfMonth(monthS, 1)
const moveTo = (timeS: number) => clock.moveOn(timeS * 1000 - clock.now())

const prices = readPriceSheet(
  Buffer.from(`format,kiln-price-sheet
version,1
currency,EUR
asOf,2026-11-01
source,the test
region,usageType,unit,price,rounding
eu-west-1,BoxUsage:t3.nano,Hrs,0.36,second
us-west-2,BoxUsage:t3.nano,Hrs,0.07,hour
*,EBS:VolumeUsage.gp2,GB-Mo,0.1,
*,EBS:VolumeUsage.gp3,GB-Mo,0.1,
*,PublicIPv4:InUseAddress,Hrs,0.005,
*,EBS:SnapshotUsage,GB-Mo,1,
`),
)

const served = useServedCloud({ isLive: true, clock, prices })
let worker: string
let helper: string

beforeAll(async () => {
  moveTo(nextMonthS - 2 * 86_400 - 1800)
  const [europe, america] = [await callerOf(served(), blue, 'eu-west-1'), await callerOf(served(), green, 'us-west-2')]
  const [first] = await europe.launch({ InstanceType: 't3.nano' }, 'running')
  const [second] = await america.launch({ InstanceType: 't3.nano' }, 'running')
  const [third] = await america.launch({ InstanceType: 't3.small' }, 'running')
  worker = first.InstanceId!
  helper = second.InstanceId!
  const { Volumes: volumes } = await europe.ec2.send(
    new DescribeVolumesCommand({ Filters: [{ Name: 'attachment.instance-id', Values: [worker] }] }),
  )
  const tagged = [worker, volumes![0]!.VolumeId!]
  await europe.ec2.send(new CreateTagsCommand({ Resources: tagged, Tags: [{ Key: 'team', Value: 'blue' }] }))
  clock.moveOn(36 * hourMs + 1234_000)
  await europe.ec2.send(new StopInstancesCommand({ InstanceIds: [worker] }))
  await europe.reaches(worker, 'stopped')
  clock.moveOn(30 * hourMs)
  await america.ec2.send(new TerminateInstancesCommand({ InstanceIds: [helper, third.InstanceId!] }))
  await america.reaches(helper, 'terminated')
  clock.moveOn(5 * hourMs)
}, 120_000)

interface ToldGroup {
  keys: string[]
  cost: string
  lines: { quantity: string }[]
}

const ask = (question: object) => served().control('POST', '/_kiln/costs', question)
const windowOf = (fromS: number, toS: number) => ({ from: utcText(fromS), to: utcText(toS) })
/** Everything until the day before now, which no second adds to. */
const past = () => windowOf(monthS, nextMonthS)

describe('costs', () => {
  test.each<[string[], Granularity]>([
    [[], 'total'],
    [['account'], 'total'],
    [['region'], 'day'],
    [['service'], 'month'],
    [['usage-type'], 'hour'],
    [['instance-type', 'account'], 'total'],
    [['resource'], 'day'],
    [['image'], 'hour'],
    [['tag:team'], 'total'],
    [['product-family', 'resource-kind', 'tag:none'], 'month'],
  ])('by %j, each %s, come to the same total, and their groups to it exactly', async (groupBy, granularity) => {
    const whole = await ask(past())
    const grouped = await ask({ ...past(), groupBy, granularity })
    expect(grouped.status).toBe(200)
    expect(Number(whole.answer.total)).toBeGreaterThan(10)
    expect(grouped.answer.total).toBe(whole.answer.total)
    const { groups, total } = await served().cloud.costs.report({
      ...{ fromS: monthS, toS: nextMonthS, granularity, groupBy: groupBy as CostDimension[] },
    })
    expect(sumOf(groups.map(({ cost }) => cost)).equals(total)).toBe(true)
  })

  test('an instance costs its hours, and a stopped one what it has', async () => {
    const { answer } = await ask({ ...past(), groupBy: ['resource', 'usage-type'] })
    const boxes = answer.groups.filter(({ keys }: ToldGroup) => keys[1] === 'BoxUsage:t3.nano')
    const byId = Object.fromEntries(boxes.map(({ keys, lines }: ToldGroup) => [keys[0], lines[0]]))
    // 36 h 20 min 34 s and the moments of the test itself, at 0.36 an hour.
    const ofWorker = Number(byId[worker].quantity)
    expect(ofWorker).toBeGreaterThan(36.34)
    expect(ofWorker).toBeLessThan(36.5)
    expect(byId[worker]).toMatchObject({ unit: 'Hrs', price: '0.36', rounding: 'second', region: 'eu-west-1' })
    // Until the end of the month 48 h and a half, each begun hour whole.
    expect(byId[helper]).toMatchObject({ quantity: '49.0000000000', cost: '3.4300000000', rounding: 'hour' })
    const volume = answer.groups.find(({ keys }: ToldGroup) => /^vol-.*VolumeUsage/.test(keys.join(' ')))
    expect(volume.lines[0]).toMatchObject({ unit: 'GB-Mo', price: '0.1' })
  })

  test('what has no price is told, and not in the total', async () => {
    const { answer } = await ask({ ...past(), groupBy: ['usage-type'] })
    const small = answer.groups.find(({ keys }: ToldGroup) => keys[0] === 'BoxUsage:t3.small')
    expect(small).toMatchObject({ cost: '0.0000000000', lines: [] })
    expect(small.unpriced).toMatchObject([{ usageType: 'BoxUsage:t3.small', region: 'us-west-2', unit: 'Hrs' }])
    expect(Number(small.unpriced[0].quantity)).toBeGreaterThan(48)
  })

  test('are narrowed by account, by region and by tag', async () => {
    const ofBlue = (await ask({ ...past(), accounts: [blue] })).answer.total
    const inEurope = (await ask({ ...past(), filter: { dimension: 'region', values: ['eu-west-1'] } })).answer.total
    expect(inEurope).toBe(ofBlue)
    const tagged = { dimension: 'tag:team', values: ['blue'] }
    const [withTag, without, all] = await Promise.all(
      [{ filter: tagged }, { filter: { not: tagged } }, {}].map(
        async (more) => (await ask({ ...past(), ...more })).answer,
      ),
    )
    const sum = exactOf(withTag.total).add(exactOf(without.total))
    expect(sum.sub(exactOf(all.total)).abs().compare(exactOf('0.0000000002'))).toBeLessThan(0)
    expect(Number(withTag.total)).toBeGreaterThan(13)
  })

  test('months of a window that holds two are told apart, and add up', async () => {
    const both = { from: utcText(monthS), to: utcText(startOfMonth(nextMonthS, 1)), granularity: 'month' }
    const { answer } = await ask({ ...both, groupBy: ['account'] })
    const months = answer.groups.map(({ from, keys }: { from: string; keys: string[] }) => `${from} ${keys[0]}`)
    expect(months).toEqual(
      [monthS, nextMonthS].flatMap((timeS) => [`${utcText(timeS)} ${blue}`, `${utcText(timeS)} ${green}`]),
    )
  })

  test('a forecast is so far, and what goes on until the end', async () => {
    const { answer } = await served().control('POST', '/_kiln/costs/forecast', { groupBy: ['resource-kind'] })
    expect(answer).toMatchObject({ ...windowOf(nextMonthS, startOfMonth(nextMonthS, 1)), currency: 'EUR' })
    const costOf = (report: { groups: ToldGroup[] }, kind: string) =>
      Number(report.groups.find(({ keys }: ToldGroup) => keys[0] === kind)?.cost ?? 0)
    // A stopped instance's volume of 1 GiB goes on for the whole month; terminated instances do not.
    expect(costOf(answer.soFar, 'volume')).toBeLessThan(0.01)
    expect(costOf(answer.atEnd, 'volume')).toBeGreaterThan(0.09)
    expect(costOf(answer.atEnd, 'instance')).toBe(costOf(answer.soFar, 'instance'))
    expect(answer.atEnd.asOf).toBe(answer.to)
  })

  test('with resources comes what is known of them', async () => {
    const { answer } = await ask({ ...past(), groupBy: ['account', 'resource'], withResources: true })
    expect(answer.resources[worker]).toMatchObject({ kind: 'instance', tags: { team: 'blue' } })
    expect(answer.resources[helper].imageId).toMatch(/^ami-/)
  })

  test('an instance that was stopped is compared with one that cannot be', async () => {
    const { answer } = await served().control('GET', `/_kiln/instances/${worker}/comparison`)
    expect(answer).toMatchObject({ kind: 'ebs', instanceType: 't3.nano', currency: 'EUR', volumeGb: 1, cheaper: 'ebs' })
    const life = (Date.parse(answer.to) - Date.parse(answer.from)) / hourMs
    // It lived for 71 h and a half, and ran for 36 h 20 min of them.
    expect(life).toBeGreaterThan(71.3)
    expect(life).toBeLessThan(71.7)
    expect(Number(answer.instanceStore.total)).toBeCloseTo(0.36 * life, 6)
    expect(Number(answer.hoursPerDay)).toBeCloseTo((36.35 / life) * 24, 0)
    const [ran, kept] = answer.ebs.lines.map(({ cost }: { cost: string }) => Number(cost))
    expect(ran).toBeCloseTo((0.36 * life * Number(answer.hoursPerDay)) / 24, 6)
    expect(kept).toBeGreaterThan(0.1 * (71 / (31 * 24)))
    expect(kept).toBeLessThan(0.1 * (72 / (28 * 24)))
    const asked = await served().control('GET', `/_kiln/instances/${worker}/comparison?hours-per-day=25`)
    expect(asked).toMatchObject({ status: 400, answer: { error: expect.stringContaining('hours-per-day') } })
    const none = await served().control('GET', '/_kiln/instances/i-00000000000000000/comparison')
    expect(none).toMatchObject({ status: 400, answer: { code: 'InvalidInstanceID.NotFound' } })
  })

  test('an image costs what its snapshot is billed; what others share is not its own', async () => {
    const europe = await callerOf(served(), blue, 'eu-west-1')
    const image = await europe.imageOf(worker, 'golden')
    const job = await served().control('POST', `/_kiln/images/${image.ImageId}/price?region=eu-west-1`)
    const { result } = await vi.waitFor(async () => {
      const { answer } = await served().control('GET', `/_kiln/jobs/${job.answer.id}`)
      expect(answer).toMatchObject({ isDone: true })
      return answer
    }, 20_000)
    const [snapshot] = result.snapshots
    // All of its blocks are the seed's, which stays.
    expect(snapshot).toMatchObject({ uniqueBytes: 0, unique: '0.0000000000', staysBecause: null })
    expect(snapshot.sharedBytes).toBeGreaterThan(0)
    expect(Number(snapshot.shared)).toBeCloseTo(snapshot.sharedBytes / 2 ** 30, 9)
    expect([result.freed, result.bundle]).toEqual(['0.0000000000', null])
    // One block of 512 KiB, at 1 a GB.
    expect([result.billed, result.saved]).toEqual(Array(2).fill('0.0004882812'))
  })

  test.each<[unknown, string]>([
    [[], 'the body is not an object'],
    [{ form: '2026-11' }, 'form is not known in the body'],
    [{ from: '2026-02-30' }, 'from is a day as'],
    [{ from: '2026-11', to: '2026-10' }, 'to is not after from'],
    [{ granularity: 'week' }, 'granularity is one of'],
    [{ from: '2020-01', to: '2026-01', granularity: 'hour' }, 'granularity makes more than'],
    [{ groupBy: ['tag:'] }, 'groupBy[0] is one of'],
    [{ accounts: ['1'] }, 'accounts[0] is not an account'],
    [{ filter: { any: [{ dimension: 'region', values: 'eu' }] } }, 'filter.any[0].values is not a list'],
    [{ filter: { not: 1 } }, 'filter.not is not an object'],
    [{ withResources: 'yes' }, 'withResources is true or false'],
  ])('asked wrongly (%j) are refused by name', async (question, message) => {
    const { status, answer } = await ask(question as object)
    expect({ status, answer }).toEqual({
      ...{ status: 400, answer: { code: 'InvalidParameterValue', error: expect.stringContaining(message) } },
    })
  })
})
