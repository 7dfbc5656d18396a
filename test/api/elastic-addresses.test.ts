/** Public addresses that an account keeps: they move between instances, outlive them, and are charged while idle. */
import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  CreateTagsCommand,
  DescribeAddressesAttributeCommand,
  DescribeAddressesCommand,
  DescribeNetworkInterfacesCommand,
  DisassociateAddressCommand,
  ReleaseAddressCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const accountId = '000000000001'
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), accountId)
})

const allocate = async () => (await caller.ec2.send(new AllocateAddressCommand({ Domain: 'vpc' }))) as Allocated
type Allocated = { AllocationId: string; PublicIp: string }
const addressOf = async (id: string) =>
  (await caller.ec2.send(new DescribeAddressesCommand({ AllocationIds: [id] }))).Addresses![0]!
const associate = (AllocationId: string, InstanceId: string, more = {}) =>
  caller.ec2.send(new AssociateAddressCommand({ AllocationId, InstanceId, ...more }))
const publicIpOf = async (id: string) => (await caller.describe(id)).PublicIpAddress

test('an address is a loopback address of its own, and is found by what it is', async () => {
  const { AllocationId: id, PublicIp: ip } = await allocate()
  expect(ip).toMatch(/^127\./)
  expect((await allocate()).PublicIp).not.toBe(ip)
  await caller.ec2.send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: 'Name', Value: 'front' }] }))
  const wanted = { AllocationId: id, PublicIp: ip, Domain: 'vpc', NetworkBorderGroup: 'eu-west-1', InstanceId: '' }
  for (const query of [
    { PublicIps: [ip] },
    { Filters: [{ Name: 'public-ip', Values: [ip] }] },
    { Filters: [{ Name: 'tag:Name', Values: ['fr*'] }] },
  ]) {
    const { Addresses: found } = await caller.ec2.send(new DescribeAddressesCommand(query))
    expect(found).toMatchObject([wanted])
  }
  expect((await caller.ec2.send(new DescribeAddressesAttributeCommand({ AllocationIds: [id] }))).Addresses).toEqual([])
  await caller.ec2.send(new ReleaseAddressCommand({ AllocationId: id }))
  await expectRefusal(addressOf(id), 'InvalidAllocationID.NotFound', id)
})

test('an address moves from one instance to another; whoever loses it gets one of the subnet', async () => {
  const [one, other] = await caller.launch({ MinCount: 2, MaxCount: 2 })
  const [first, second] = [one.InstanceId!, other!.InstanceId!]
  const { AllocationId: id, PublicIp: ip } = await allocate()
  const { AssociationId: association } = await associate(id, first)
  expect(await addressOf(id)).toMatchObject({ AssociationId: association, InstanceId: first })
  expect(await publicIpOf(first)).toBe(ip)
  const filters = [{ Name: 'association.allocation-id', Values: [id] }]
  const { NetworkInterfaces: nics } = await caller.ec2.send(new DescribeNetworkInterfacesCommand({ Filters: filters }))
  expect(nics).toMatchObject([{ Association: { AllocationId: id, AssociationId: association, IpOwnerId: accountId } }])
  // The same again is the same association.
  expect((await associate(id, first)).AssociationId).toBe(association)
  await expectRefusal(associate(id, second, { AllowReassociation: false }), 'Resource.AlreadyAssociated', id)
  await expectRefusal(caller.ec2.send(new ReleaseAddressCommand({ AllocationId: id })), 'InvalidIPAddress.InUse', ip)

  const { AssociationId: moved } = await associate(id, second)
  expect([await publicIpOf(second), moved === association]).toEqual([ip, false])
  expect(await publicIpOf(first)).toMatch(/^127\./)
  await expectRefusal(
    caller.ec2.send(new DisassociateAddressCommand({ AssociationId: association })),
    'InvalidAssociationID.NotFound',
    association!,
  )
  const plan = served().plans.at(-1)!
  expect(plan.nics.filter((nic) => nic.publicIp === ip).map((nic) => nic.instanceId)).toEqual([second])
  await caller.ec2.send(new DisassociateAddressCommand({ AssociationId: moved }))
  expect(await publicIpOf(second)).not.toBe(ip)
  expect((await addressOf(id)).AssociationId).toBeUndefined()
})

test('an address stays with a stopped instance, and with its account when the instance ends', async () => {
  const [instance] = await caller.launch()
  const { AllocationId: id, PublicIp: ip } = await allocate()
  await associate(id, instance.InstanceId!)
  const only = { InstanceIds: [instance.InstanceId!] }
  await caller.ec2.send(new StopInstancesCommand(only))
  await caller.reaches(instance.InstanceId!, 'stopped')
  expect(await publicIpOf(instance.InstanceId!)).toBe(ip)
  await caller.ec2.send(new StartInstancesCommand(only))
  await caller.reaches(instance.InstanceId!, 'running')
  expect(await publicIpOf(instance.InstanceId!)).toBe(ip)
  await caller.ec2.send(new TerminateInstancesCommand(only))
  await caller.reaches(instance.InstanceId!, 'terminated')
  await caller.quiet()
  expect(await addressOf(id)).toMatchObject({ PublicIp: ip, InstanceId: '' })
  await caller.ec2.send(new ReleaseAddressCommand({ PublicIp: ip }))
})

test('an address is charged idle, or where it is in use, and never twice', async () => {
  const [instance] = await caller.launch()
  const { usage } = served().deps.state
  const { AllocationId: id } = await allocate()
  const level = async (usageType: string) => {
    const levels = await usage.levels({ accountIds: [accountId], usageTypes: [usageType] })
    return levels[0]?.quantity ?? 0n
  }
  const [idle, inUse] = [await level('PublicIPv4:IdleAddress'), await level('PublicIPv4:InUseAddress')]
  await associate(id, instance.InstanceId!)
  expect([await level('PublicIPv4:IdleAddress'), await level('PublicIPv4:InUseAddress')]).toEqual([idle - 1n, inUse])
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instance.InstanceId!] }))
  await caller.reaches(instance.InstanceId!, 'terminated')
  await caller.quiet()
  expect(await level('PublicIPv4:IdleAddress')).toBe(idle)
  await caller.ec2.send(new ReleaseAddressCommand({ AllocationId: id }))
  expect(await level('PublicIPv4:IdleAddress')).toBe(idle - 1n)
})

test('what is wrong is refused by name, and nobody else has it', async () => {
  const [instance] = await caller.launch()
  const { AllocationId: id, PublicIp: ip } = await allocate()
  const instanceId = instance.InstanceId!
  const send = (input: object) => caller.ec2.send(new AssociateAddressCommand(input))
  await expectRefusal(send({ AllocationId: id }), 'MissingParameter', 'InstanceId')
  await expectRefusal(send({ InstanceId: instanceId }), 'MissingParameter', 'AllocationId')
  await expectRefusal(
    send({ InstanceId: instanceId, AllocationId: id, PublicIp: ip }),
    'InvalidParameterCombination',
    'PublicIp',
  )
  await expectRefusal(
    send({ InstanceId: 'i-0123456789abcdef0', AllocationId: id }),
    'InvalidInstanceID.NotFound',
    'i-0123456789abcdef0',
  )
  await expectRefusal(
    send({ InstanceId: instanceId, AllocationId: 'eipalloc-xyz' }),
    'InvalidAllocationID.Malformed',
    'eipalloc-xyz',
  )
  await expectRefusal(
    send({ InstanceId: instanceId, AllocationId: 'eipalloc-0123456789abcdef0' }),
    'InvalidAllocationID.NotFound',
    'eipalloc-0123456789abcdef0',
  )
  await expectRefusal(send({ InstanceId: instanceId, PublicIp: '127.1.2.3' }), 'InvalidAddress.NotFound', '127.1.2.3')
  await expectRefusal(
    send({ InstanceId: instanceId, AllocationId: id, PrivateIpAddress: '10.0.0.1' }),
    'InvalidParameterValue',
    'PrivateIpAddress',
  )
  const stranger = served().client('000000000002')
  await expectRefusal(
    stranger.send(new ReleaseAddressCommand({ AllocationId: id })),
    'InvalidAllocationID.NotFound',
    id,
  )
  expect((await stranger.send(new DescribeAddressesCommand({}))).Addresses).toEqual([])
})
