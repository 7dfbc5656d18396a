/** Spot instances and requests for them, as users see them. */
import {
  CancelSpotInstanceRequestsCommand,
  CreateLaunchTemplateCommand,
  CreateTagsCommand,
  DeregisterImageCommand,
  DescribeInstancesCommand,
  DescribeSpotInstanceRequestsCommand,
  DescribeSpotPriceHistoryCommand,
  type Filter,
  paginateDescribeSpotPriceHistory,
  RequestSpotInstancesCommand,
  type RequestSpotInstancesCommandInput,
  type SpotInstanceRequest,
  type SpotMarketOptions,
  type SpotPrice,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
  waitUntilSpotInstanceRequestFulfilled,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { enqueueFulfilment } from '../../src/cloud/spot/fulfil-operation.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { exactOf } from '../../src/prices/money.ts'
import { anyRegion, type Price, PriceSheet } from '../../src/prices/sheet.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const hourly = (price: string): Price => ({ unit: 'Hrs', price: exactOf(price), rounding: 'second' })
const head = { currency: 'USD', asOf: '2026-01-31', source: 'the test' }
/** The spot price of one type is its own, of another it is the on-demand price; of all others nothing is known. */
const prices = new PriceSheet(
  head,
  new Map([
    [
      anyRegion,
      new Map([
        ['BoxUsage:t3.nano', hourly('0.0052')],
        ['SpotUsage:t3.nano', hourly('0.0016')],
        ['BoxUsage:t3.micro', hourly('0.0104')],
      ]),
    ],
  ]),
)

const served = useServedCloud({ isLive: true, prices })
let caller: Caller
let other: Caller

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  other = await callerOf(served(), '000000000002')
})

const spot = (SpotOptions: SpotMarketOptions = {}) => ({
  InstanceMarketOptions: { MarketType: 'spot' as const, SpotOptions },
})
const persistent = { SpotInstanceType: 'persistent', InstanceInterruptionBehavior: 'stop' } as const

async function request(more: Partial<RequestSpotInstancesCommandInput> = {}): Promise<SpotInstanceRequest> {
  const LaunchSpecification = { ImageId: caller.seedImage, InstanceType: 't3.nano' as const }
  const input = { LaunchSpecification, ...more }
  return (await caller.ec2.send(new RequestSpotInstancesCommand(input))).SpotInstanceRequests![0]!
}

async function told(id: string): Promise<SpotInstanceRequest> {
  const input = { SpotInstanceRequestIds: [id] }
  return (await caller.ec2.send(new DescribeSpotInstanceRequestsCommand(input))).SpotInstanceRequests![0]!
}

const inWords = (row: SpotInstanceRequest) => `${row.State} ${row.Status!.Code}`

/** Waits for the request to come to that state, `active fulfilled`. */
async function comesTo(id: string, state: string): Promise<SpotInstanceRequest> {
  const look = async () => {
    const row = await told(id)
    return inWords(row) === state ? row : undefined
  }
  const found = await waitFor(systemClock, look, { everyMs: 30, timeoutMs: 30_000 })
  expect(found ?? inWords(await told(id)), `${id} comes to ${state}`).toMatchObject({ SpotInstanceRequestId: id })
  return found!
}

const cancel = async (...ids: string[]) =>
  (
    await caller.ec2.send(new CancelSpotInstanceRequestsCommand({ SpotInstanceRequestIds: ids }))
  ).CancelledSpotInstanceRequests!.map((row) => row.State)
const terminate = (id: string) => caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
const stop = (id: string) => caller.ec2.send(new StopInstancesCommand({ InstanceIds: [id] }))

async function found(...filters: [name: string, value: string][]): Promise<string[]> {
  const Filters: Filter[] = filters.map(([Name, value]) => ({ Name, Values: [value] }))
  const { SpotInstanceRequests: rows } = await caller.ec2.send(new DescribeSpotInstanceRequestsCommand({ Filters }))
  return rows!.map((row) => row.SpotInstanceRequestId!)
}

test('a spot instance of RunInstances has a request, says what it is, and cannot be stopped', async () => {
  const TagSpecifications = [
    { ResourceType: 'spot-instances-request' as const, Tags: [{ Key: 'for', Value: 'one launch' }] },
  ]
  const [first, second] = await caller.launch({ ...spot(), MinCount: 2, MaxCount: 2, TagSpecifications })
  const [plain] = await caller.launch()
  const sir = first.SpotInstanceRequestId!
  expect(first).toMatchObject({ InstanceLifecycle: 'spot' })
  expect([first, second!].map((one) => one.SpotInstanceRequestId!.slice(0, 4))).toEqual(['sir-', 'sir-'])
  expect(second!.SpotInstanceRequestId).not.toBe(sir)
  expect([plain.InstanceLifecycle, plain.SpotInstanceRequestId]).toEqual([undefined, undefined])
  const row = await told(sir)
  expect(row).toMatchObject({
    ...{ State: 'active', Type: 'one-time', InstanceId: first.InstanceId, InstanceInterruptionBehavior: 'terminate' },
    ...{ Status: { Code: 'fulfilled' }, ProductDescription: 'Linux/UNIX', SpotPrice: '0.005200' },
    ...{ LaunchedAvailabilityZone: first.Placement!.AvailabilityZone, Tags: [{ Key: 'for', Value: 'one launch' }] },
    LaunchSpecification: { ImageId: caller.seedImage, InstanceType: 't3.nano', Monitoring: { Enabled: false } },
  })
  const byFilter = async (Name: string, value: string) => {
    const input = { Filters: [{ Name, Values: [value] }] }
    const { Reservations: all } = await caller.ec2.send(new DescribeInstancesCommand(input))
    return all!.flatMap((one) => one.Instances!.map((instance) => instance.InstanceId))
  }
  expect(await byFilter('spot-instance-request-id', sir)).toEqual([first.InstanceId])
  expect(await byFilter('instance-lifecycle', 'spot')).toEqual(
    expect.arrayContaining([first.InstanceId, second!.InstanceId]),
  )
  expect(await byFilter('instance-lifecycle', 'spot')).not.toContain(plain.InstanceId)
  expect(await found(['spot-price', '0.005200'], ['instance-id', first.InstanceId!])).toEqual([sir])
  await expectRefusal(stop(first.InstanceId!), 'UnsupportedOperation', first.InstanceId!)
  await terminate(first.InstanceId!)
  expect(await comesTo(sir, 'closed instance-terminated-by-user')).toMatchObject({ InstanceId: first.InstanceId })
  expect(await cancel(sir)).toEqual(['closed'])
})

test('a launch template may say that its instances are spot instances', async () => {
  const LaunchTemplateName = 'spot'
  const LaunchTemplateData = { ImageId: caller.seedImage, InstanceType: 't3.nano' as const, ...spot({ MaxPrice: '1' }) }
  await caller.ec2.send(new CreateLaunchTemplateCommand({ LaunchTemplateName, LaunchTemplateData }))
  const [instance] = await caller.launch({ ImageId: undefined, LaunchTemplate: { LaunchTemplateName } })
  expect(await told(instance.SpotInstanceRequestId!)).toMatchObject({ SpotPrice: '1', State: 'active' })
})

test('a persistent request stays with its instance over a stop, and gets another when that is terminated', async () => {
  const [instance] = await caller.launch(spot(persistent))
  const [id, sir] = [instance.InstanceId!, instance.SpotInstanceRequestId!]
  await stop(id)
  await caller.reaches(id, 'stopped')
  await comesTo(sir, 'disabled instance-stopped-by-user')
  await caller.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }))
  await caller.reaches(id, 'running')
  await comesTo(sir, 'active fulfilled')
  await terminate(id)
  await caller.reaches(id, 'terminated')
  const { InstanceId: next } = await comesTo(sir, 'active fulfilled')
  expect(next).not.toBe(id)
  expect(await caller.reaches(next!, 'running')).toMatchObject({ SpotInstanceRequestId: sir })
  expect(await cancel(sir)).toEqual(['cancelled'])
  expect(inWords(await told(sir))).toBe('cancelled request-canceled-and-instance-running')
  expect((await caller.describe(next!)).State!.Name).toBe('running')
  await terminate(next!)
  await comesTo(sir, 'cancelled instance-terminated-by-user')
  await caller.quiet()
  expect(await found(['spot-instance-request-id', sir], ['instance-id', next!])).toEqual([sir])
})

test('requests are fulfilled once each, whatever is launched at once, and answered once for a token', async () => {
  const input = {
    ...{ InstanceCount: 3, Type: 'one-time' as const, ClientToken: 'three', SpotPrice: '0.01' },
    LaunchSpecification: { ImageId: caller.seedImage, InstanceType: 't3.nano' as const },
    TagSpecifications: [{ ResourceType: 'spot-instances-request' as const, Tags: [{ Key: 'of', Value: 'three' }] }],
  }
  const send = () => caller.ec2.send(new RequestSpotInstancesCommand(input))
  const [once, twice] = await Promise.all([send(), send()])
  const idsOf = ({ SpotInstanceRequests: rows }: typeof once) => rows!.map((row) => row.SpotInstanceRequestId!).sort()
  const SpotInstanceRequestIds = idsOf(once)
  expect(idsOf(twice)).toEqual(SpotInstanceRequestIds)
  await waitUntilSpotInstanceRequestFulfilled(
    { client: caller.ec2, maxWaitTime: 30, minDelay: 1, maxDelay: 1 },
    { SpotInstanceRequestIds },
  )
  const rows = await Promise.all(SpotInstanceRequestIds.map(told))
  expect(new Set(rows.map((row) => row.InstanceId)).size).toBe(3)
  expect(await found(['tag:of', 'three'], ['state', 'active'])).toEqual(expect.arrayContaining(SpotInstanceRequestIds))
  await Promise.all(rows.map((row) => caller.reaches(row.InstanceId!, 'running')))
  const Filters = [{ Name: 'spot-instance-request-id', Values: SpotInstanceRequestIds }]
  const { Reservations: all } = await caller.ec2.send(new DescribeInstancesCommand({ Filters }))
  expect(all!.flatMap((one) => one.Instances!)).toHaveLength(3)
  await expectRefusal(
    caller.ec2.send(new RequestSpotInstancesCommand({ ...input, InstanceCount: 2 })),
    'IdempotentParameterMismatch',
    'three',
  )
})

test('work that is done again, as after a crash, fulfils no request twice', async () => {
  const { deps, cloud } = served()
  const { SpotInstanceRequestId: id } = await request()
  const first = await comesTo(id!, 'active fulfilled')
  const scope = { accountId: '000000000001', region: 'eu-west-1' }
  const row = (await deps.state.spotRequests.get(id!))!
  await deps.state.transaction((tx) => enqueueFulfilment(deps, tx, row))
  deps.operations.wake()
  // Whoever was in the middle of its launch is refused by the transaction itself.
  const late = cloud.launches.launch(scope, { ...JSON.parse(row.launch), spotRequestId: id })
  await expect(late).rejects.toMatchObject({ code: 'IncorrectState' })
  await caller.quiet()
  expect(await told(id!)).toMatchObject({ InstanceId: first.InstanceId, State: 'active' })
  const Filters = [{ Name: 'spot-instance-request-id', Values: [id!] }]
  const { Reservations: all } = await caller.ec2.send(new DescribeInstancesCommand({ Filters }))
  expect(all!.flatMap((one) => one.Instances!.map((each) => each.InstanceId))).toEqual([first.InstanceId])
})

test('a price that is too low is refused at once by a launch, and waits as a request', async () => {
  const low = spot({ MaxPrice: '0.0015' })
  await expectRefusal(caller.launch(low), 'SpotMaxPriceTooLow', '0.001600')
  const { SpotInstanceRequestId: id } = await request({ SpotPrice: '0.0015' })
  const waiting = await comesTo(id!, 'open price-too-low')
  expect([waiting.SpotPrice, waiting.InstanceId]).toEqual(['0.0015', undefined])
  expect(await cancel(id!)).toEqual(['cancelled'])
  expect(inWords(await told(id!))).toBe('cancelled canceled-before-fulfillment')
})

test('a request waits for its time, and ends with it', async () => {
  const soon = new Date(Date.now() + 3600_000)
  const later = await request({ ValidFrom: soon, Type: 'persistent' })
  expect(await comesTo(later.SpotInstanceRequestId!, 'open not-scheduled-yet')).toMatchObject({ ValidFrom: soon })
  const brief = await request({ SpotPrice: '0.001', ValidUntil: new Date(Date.now() + 1000) })
  await comesTo(brief.SpotInstanceRequestId!, 'cancelled schedule-expired')
  await cancel(later.SpotInstanceRequestId!)
})

test('what cannot be launched any more fails the request that is opened again', async () => {
  const [source] = await caller.launch()
  const image = await caller.imageOf(source.InstanceId!, 'short-lived')
  const [instance] = await caller.launch({ ...spot(persistent), ImageId: image.ImageId })
  await caller.ec2.send(new DeregisterImageCommand({ ImageId: image.ImageId }))
  await terminate(instance.InstanceId!)
  const failed = await comesTo(instance.SpotInstanceRequestId!, 'failed bad-parameters')
  expect(failed.Fault!.Message).toContain(image.ImageId)
})

test('requests are refused by name, and are nobody else’s', async () => {
  const LaunchSpecification = { ImageId: caller.seedImage, InstanceType: 't3.nano' as const }
  const refusals: [Partial<RequestSpotInstancesCommandInput>, string, string][] = [
    [{ LaunchSpecification: undefined }, 'MissingParameter', 'LaunchSpecification'],
    [{ LaunchSpecification: { ...LaunchSpecification, ImageId: undefined } }, 'MissingParameter', 'ImageId'],
    [{ LaunchSpecification: { ImageId: 'ami-0123456789abcdef0' } }, 'InvalidAMIID.NotFound', 'ami-0123456789abcdef0'],
    [{ SpotPrice: 'cheap' }, 'InvalidParameterValue', 'SpotPrice'],
    [{ SpotPrice: '-1' }, 'InvalidParameterValue', 'SpotPrice'],
    [{ InstanceCount: 0 }, 'InvalidParameterValue', 'InstanceCount'],
    [{ InstanceCount: 100_000 }, 'MaxSpotInstanceCountExceeded', 'InstanceCount'],
    [{ ValidUntil: new Date(0) }, 'InvalidParameterValue', 'ValidUntil'],
    [{ LaunchGroup: 'together' }, 'UnsupportedOperation', 'LaunchGroup'],
    [{ BlockDurationMinutes: 60 }, 'UnsupportedOperation', 'BlockDurationMinutes'],
  ]
  for (const [more, code, named] of refusals) await expectRefusal(request(more), code, named)
  await expectRefusal(
    caller.launch(spot({ SpotInstanceType: 'persistent' })),
    'InvalidParameterCombination',
    'InstanceInterruptionBehavior',
  )
  const { SpotInstanceRequestId: id } = await request({ SpotPrice: '0.001' })
  const ids = { SpotInstanceRequestIds: [id!] }
  for (const command of [new DescribeSpotInstanceRequestsCommand(ids), new CancelSpotInstanceRequestsCommand(ids)]) {
    await expectRefusal(
      other.ec2.send(command as DescribeSpotInstanceRequestsCommand),
      'InvalidSpotInstanceRequestID.NotFound',
      id!,
    )
  }
  await expectRefusal(
    caller.ec2.send(new DescribeSpotInstanceRequestsCommand({ SpotInstanceRequestIds: ['sir-x'] })),
    'InvalidSpotInstanceRequestID.Malformed',
    'sir-x',
  )
  const tag = new CreateTagsCommand({ Resources: [id!], Tags: [{ Key: 'later', Value: 'yes' }] })
  await caller.ec2.send(tag)
  expect((await told(id!)).Tags).toEqual([{ Key: 'later', Value: 'yes' }])
  await cancel(id!)
})

test('requests are found by what they ask for', async () => {
  const groups = { Groups: undefined, DeviceIndex: 0, DeleteOnTermination: true, Description: 'the first' }
  const asked = await request({
    ...{ Type: 'persistent', SpotPrice: '0.0001', InstanceInterruptionBehavior: 'stop' },
    LaunchSpecification: {
      ...{ ImageId: caller.seedImage, InstanceType: 't3.micro', Monitoring: { Enabled: true } },
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 3, VolumeType: 'gp2' } }],
      NetworkInterfaces: [groups],
    },
  })
  const id = asked.SpotInstanceRequestId!
  const filters: [name: string, value: string][] = [
    ['launch.block-device-mapping.device-name', '/dev/sd*'],
    ['launch.block-device-mapping.volume-size', '3'],
    ['launch.block-device-mapping.volume-type', 'gp2'],
    ['launch.image-id', caller.seedImage],
    ['launch.instance-type', 't3.micro'],
    ['launch.monitoring-enabled', 'true'],
    ['network-interface.description', 'the first'],
    ['network-interface.device-index', '0'],
    ['product-description', 'Linux/UNIX'],
    ['spot-price', '0.0001'],
    ['type', 'persistent'],
  ]
  expect(await found(...filters)).toEqual([id])
  for (const [name] of filters) expect(await found(...filters, [name, 'no such']), name).toEqual([])
  const page = await caller.ec2.send(new DescribeSpotInstanceRequestsCommand({ MaxResults: 5 }))
  expect([page.SpotInstanceRequests!.length, typeof page.NextToken]).toEqual([5, 'string'])
  await cancel(id)
})

test('the spot price is the sheet’s, the same in every zone', async () => {
  const all: SpotPrice[] = []
  for await (const page of paginateDescribeSpotPriceHistory({ client: caller.ec2, pageSize: 2 }, {})) {
    all.push(...page.SpotPriceHistory!)
  }
  const zones = new Set(all.map((price) => price.AvailabilityZone))
  expect(new Set(all.map((price) => `${price.InstanceType} ${price.SpotPrice}`))).toEqual(
    new Set(['t3.micro 0.010400', 't3.nano 0.001600']),
  )
  expect(all).toHaveLength(2 * zones.size)
  expect(all[0]).toMatchObject({ ProductDescription: 'Linux/UNIX', Timestamp: new Date('2026-01-31') })
  const history = async (input: object) =>
    (await caller.ec2.send(new DescribeSpotPriceHistoryCommand(input))).SpotPriceHistory!.length
  const [AvailabilityZone] = zones
  expect(await history({ InstanceTypes: ['t3.nano', 't3.nano'], AvailabilityZone, StartTime: new Date() })).toBe(1)
  expect(await history({ ProductDescriptions: ['Windows'] })).toBe(0)
  expect(await history({ EndTime: new Date('2026-01-30') })).toBe(0)
  await expectRefusal(history({ AvailabilityZone: 'mars-1a' }), 'InvalidParameterValue', 'mars-1a')
})
