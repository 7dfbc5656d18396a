/** Fleets that are launched at once, as Packer and others ask for them. */
import {
  CreateFleetCommand,
  type CreateFleetCommandInput,
  CreateLaunchTemplateCommand,
  CreateSubnetCommand,
  DeleteFleetsCommand,
  DeleteLaunchTemplateCommand,
  DescribeFleetInstancesCommand,
  DescribeFleetsCommand,
  DescribeInstancesCommand,
  DescribeSpotInstanceRequestsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type FleetLaunchTemplateOverridesRequest,
  type RequestLaunchTemplateData,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { exactOf } from '../../src/prices/money.ts'
import { anyRegion, type Price, PriceSheet } from '../../src/prices/sheet.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const hourly = (price: string): Price => ({ unit: 'Hrs', price: exactOf(price), rounding: 'second' })
const prices = new PriceSheet(
  { currency: 'USD', asOf: '2026-01-31', source: 'the test' },
  new Map([
    [
      anyRegion,
      new Map([
        ['BoxUsage:t3.nano', hourly('0.01')],
        ['BoxUsage:t3.micro', hourly('0.02')],
        ['BoxUsage:t3.small', hourly('0.04')],
        ['SpotUsage:t3.small', hourly('0.005')],
      ]),
    ],
  ]),
)

const served = useServedCloud({ isLive: true, prices })
let caller: Caller
let made = 0

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

async function template(data: RequestLaunchTemplateData = {}): Promise<string> {
  const LaunchTemplateName = `fleet-${++made}`
  const LaunchTemplateData = { ImageId: caller.seedImage, InstanceType: 't3.nano' as const, ...data }
  await caller.ec2.send(new CreateLaunchTemplateCommand({ LaunchTemplateName, LaunchTemplateData }))
  return LaunchTemplateName
}

type Target = NonNullable<CreateFleetCommandInput['TargetCapacitySpecification']>

async function create(
  LaunchTemplateName: string,
  Overrides: FleetLaunchTemplateOverridesRequest[],
  target: Target,
  more: Partial<CreateFleetCommandInput> = {},
) {
  const input: CreateFleetCommandInput = {
    ...{ Type: 'instant', TargetCapacitySpecification: target },
    LaunchTemplateConfigs: [{ LaunchTemplateSpecification: { LaunchTemplateName, Version: '$Latest' }, Overrides }],
    ...more,
  }
  return caller.ec2.send(new CreateFleetCommand(input))
}

const spot = (capacity: number): Target => ({ TotalTargetCapacity: capacity, DefaultTargetCapacityType: 'spot' })
const told = async (id: string) => (await caller.ec2.send(new DescribeFleetsCommand({ FleetIds: [id] }))).Fleets![0]!
type Groups = Awaited<ReturnType<typeof create>>['Instances']
const inWords = (groups: Groups) =>
  groups!.map((group) => `${group.InstanceIds!.length} ${group.Lifecycle} ${group.InstanceType}`)
const idsOf = (groups: Groups) => groups!.flatMap((group) => group.InstanceIds!)

test('one spot instance of the cheapest type, as Packer asks for it', async () => {
  const name = await template({ InstanceMarketOptions: { MarketType: 'spot', SpotOptions: { MaxPrice: '0.02' } } })
  const types = (['t3.micro', 't3.small', 't3.nano'] as const).map((InstanceType) => ({ InstanceType }))
  const fleet = await create(name, types, spot(1), { ReplaceUnhealthyInstances: false })
  expect([fleet.FleetId, fleet.Errors ?? []]).toEqual([expect.stringMatching(/^fleet-[0-9a-f-]{36}$/), []])
  expect(inWords(fleet.Instances)).toEqual(['1 spot t3.small'])
  const [id] = idsOf(fleet.Instances)
  const instance = await caller.reaches(id!, 'running')
  expect(instance).toMatchObject({ InstanceLifecycle: 'spot', InstanceType: 't3.small' })
  expect(instance.Tags).toContainEqual({ Key: 'aws:ec2:fleet-id', Value: fleet.FleetId })
  const asked = { SpotInstanceRequestIds: [instance.SpotInstanceRequestId!] }
  const { SpotInstanceRequests: requests } = await caller.ec2.send(new DescribeSpotInstanceRequestsCommand(asked))
  expect(requests![0]).toMatchObject({ State: 'active', SpotPrice: '0.02', InstanceId: id })
  await caller.ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateName: name }))
  expect(await told(fleet.FleetId!)).toMatchObject({
    ...{ Type: 'instant', FleetState: 'active', ActivityStatus: 'fulfilled', FulfilledCapacity: 1 },
    Instances: [{ Lifecycle: 'spot', InstanceIds: [id], LaunchTemplateAndOverrides: { Overrides: types[1] } }],
  })
})

test('both kinds at once, by rank and weight, with their tags; a token gives the same fleet again', async () => {
  const name = await template()
  const target: Target = { ...spot(7), OnDemandTargetCapacity: 3 }
  const overrides: FleetLaunchTemplateOverridesRequest[] = [
    { InstanceType: 't3.nano', Priority: 2, WeightedCapacity: 1 },
    { InstanceType: 't3.micro', Priority: 1, WeightedCapacity: 2 },
  ]
  const more: Partial<CreateFleetCommandInput> = {
    OnDemandOptions: { AllocationStrategy: 'prioritized' },
    SpotOptions: { AllocationStrategy: 'diversified' },
    ClientToken: 'both',
    TagSpecifications: [
      { ResourceType: 'fleet', Tags: [{ Key: 'of', Value: 'fleet' }] },
      { ResourceType: 'instance', Tags: [{ Key: 'of', Value: 'instance' }] },
    ],
  }
  const [fleet, again] = await Promise.all([1, 2].map(() => create(name, overrides, target, more)))
  expect(again!.FleetId).toBe(fleet!.FleetId)
  expect(inWords(fleet!.Instances).sort()).toEqual(['1 spot t3.micro', '2 on-demand t3.micro', '2 spot t3.nano'])
  const view = await told(fleet!.FleetId!)
  expect(view).toMatchObject({ FulfilledCapacity: 8, FulfilledOnDemandCapacity: 4, ClientToken: 'both' })
  expect(view.Tags).toEqual([{ Key: 'of', Value: 'fleet' }])
  const Filters = [{ Name: 'tag:of', Values: ['instance'] }]
  const { Reservations: found } = await caller.ec2.send(new DescribeInstancesCommand({ Filters }))
  expect(
    found!
      .flatMap((one) => one.Instances!)
      .map((one) => one.InstanceId!)
      .sort(),
  ).toEqual(idsOf(fleet!.Instances).sort())
  await expectRefusal(create(name, overrides, spot(1), more), 'IdempotentParameterMismatch', 'both')
})

test('what cannot be launched is told, and another way is taken', async () => {
  const vpc = (await caller.ec2.send(new DescribeVpcsCommand({}))).Vpcs![0]!.VpcId!
  const { Subnets: subnets } = await caller.ec2.send(new DescribeSubnetsCommand({}))
  const wide = subnets![0]!
  const CidrBlock = wide.CidrBlock!.replace(/\.\d+\.\d+\/\d+$/, '.240.0/28')
  const small = await caller.ec2.send(new CreateSubnetCommand({ VpcId: vpc, CidrBlock }))
  const overrides: FleetLaunchTemplateOverridesRequest[] = [
    { InstanceType: 't3.nano', MaxPrice: '0.001' },
    { InstanceType: 't3.micro', ImageId: 'ami-0123456789abcdef0' },
    { InstanceType: 't3.nano', SubnetId: small.Subnet!.SubnetId! },
    { InstanceType: 't3.micro', SubnetId: wide.SubnetId! },
  ]
  // The small subnet has eleven addresses.
  const fleet = await create(await template(), overrides, spot(13))
  expect(fleet.Errors!.map((error) => error.ErrorCode)).toEqual(['SpotMaxPriceTooLow', 'InvalidAMIID.NotFound'])
  expect(fleet.Errors![0]!.LaunchTemplateAndOverrides!.Overrides).toEqual(overrides[0])
  expect(inWords(fleet.Instances)).toEqual(['11 spot t3.nano', '2 spot t3.micro'])
  const full = await create(await template(), [overrides[2]!, overrides[3]!], spot(1))
  expect([full.Errors![0]!.ErrorCode, inWords(full.Instances)]).toEqual([
    'InsufficientFreeAddressesInSubnet',
    ['1 spot t3.micro'],
  ])
  const none = await create(await template({ ImageId: 'ami-0123456789abcdef0' }), [], spot(1))
  expect([none.Errors!.length, none.Instances ?? []]).toEqual([1, []])
  expect((await told(none.FleetId!)).ActivityStatus).toBe('error')
  for (const made of [fleet, full]) {
    await caller.ec2.send(new DeleteFleetsCommand({ FleetIds: [made.FleetId!], TerminateInstances: true }))
  }
  await caller.quiet()
}, 120_000)

test('the price of all together, and the least that is worth having, bound what is launched', async () => {
  const name = await template()
  const dear = await create(name, [], spot(5), { SpotOptions: { MaxTotalPrice: '0.035' } })
  expect(inWords(dear.Instances)).toEqual(['3 spot t3.nano'])
  const SpotOptions = { MaxTotalPrice: '0.035', MinTargetCapacity: 4, SingleInstanceType: true }
  const nothing = await create(name, [], spot(5), { SpotOptions })
  expect([nothing.Instances ?? [], nothing.Errors![0]!.ErrorCode]).toEqual([[], 'UnfulfillableCapacity'])
})

test('a fleet is deleted with its instances, by whoever has it', async () => {
  const fleet = await create(await template(), [], { TotalTargetCapacity: 2 })
  const FleetIds = [fleet.FleetId!, 'fleet-01234567-89ab-cdef-0123-456789abcdef', 'fleet-x']
  const remove = (TerminateInstances: boolean) =>
    caller.ec2.send(new DeleteFleetsCommand({ FleetIds, TerminateInstances }))
  await expectRefusal(remove(false), 'UnsupportedOperation', 'TerminateInstances')
  const other = served().client('000000000002')
  await expectRefusal(
    other.send(new DescribeFleetsCommand({ FleetIds: [fleet.FleetId!] })),
    'InvalidFleetId.NotFound',
    fleet.FleetId!,
  )
  const { SuccessfulFleetDeletions: done, UnsuccessfulFleetDeletions: failed } = await remove(true)
  expect(done).toEqual([
    { FleetId: fleet.FleetId, CurrentFleetState: 'deleted_terminating', PreviousFleetState: 'active' },
  ])
  expect(failed!.map((item) => item.Error!.Code)).toEqual(['fleetIdDoesNotExist', 'fleetIdMalformed'])
  await Promise.all(idsOf(fleet.Instances).map((id) => caller.reaches(id, 'terminated')))
  expect((await told(fleet.FleetId!)).FleetState).toBe('deleted_terminating')
  expect((await remove(true)).UnsuccessfulFleetDeletions![0]!.Error!.Code).toBe('fleetNotInDeletableState')
  expect((await caller.ec2.send(new DescribeFleetsCommand({}))).Fleets ?? []).toEqual([])
})

test('what a fleet cannot be is refused by name', async () => {
  const name = await template()
  const refusals: [Partial<CreateFleetCommandInput>, string, string][] = [
    [{ Type: 'maintain' }, 'UnsupportedOperation', 'maintain'],
    [{ Type: 'request' }, 'UnsupportedOperation', 'request'],
    [{ LaunchTemplateConfigs: [] }, 'MissingParameter', 'LaunchTemplateConfigs'],
    [{ TargetCapacitySpecification: { TotalTargetCapacity: 0 } }, 'InvalidParameterValue', 'TotalTargetCapacity'],
    [
      { TargetCapacitySpecification: { ...spot(1), OnDemandTargetCapacity: 2 } },
      'InvalidParameterCombination',
      'Total',
    ],
    [{ SpotOptions: { MaxTotalPrice: 'x' } }, 'InvalidParameterValue', 'SpotOptions.MaxTotalPrice'],
    [{ SpotOptions: { MinTargetCapacity: 1 } }, 'InvalidParameterCombination', 'MinTargetCapacity'],
    [
      { LaunchTemplateConfigs: [{ LaunchTemplateSpecification: { LaunchTemplateName: 'nowhere', Version: '1' } }] },
      'InvalidLaunchTemplateName.NotFoundException',
      'LaunchTemplateName',
    ],
  ]
  for (const [more, code, named] of refusals) await expectRefusal(create(name, [], spot(1), more), code, named)
  const fleet = await create(name, [], spot(1))
  const asked = new DescribeFleetInstancesCommand({ FleetId: fleet.FleetId! })
  await expectRefusal(caller.ec2.send(asked), 'UnsupportedOperation', 'DescribeFleets')
})
