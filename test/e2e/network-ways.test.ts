/** Three real guests: network ACLs, prefix lists and NAT gateways decide about packets, and an interface moves on. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  AttachNetworkInterfaceCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateManagedPrefixListCommand,
  CreateNatGatewayCommand,
  CreateNetworkAclEntryCommand,
  CreateNetworkInterfaceCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteNatGatewayCommand,
  DeleteNetworkAclEntryCommand,
  DescribeNetworkAclsCommand,
  DetachNetworkInterfaceCommand,
  ModifyManagedPrefixListCommand,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { enterArgs } from '../../src/network/namespace/vpc-namespace.ts'
import { useFleet } from './support/fleet.ts'

const on = useFleet({ hasInstance: false })
const everywhere = '0.0.0.0/0'
/** Of a network for documentation: nobody answers, and what matters is that packets go there. */
const outside = '198.51.100.9'
const chatter = `#!/bin/sh\nwhile true; do timeout 1 nc ${outside} 9 < /dev/null; sleep 1; done &\n`

/** How many packets have left the VPC so far. */
async function packetsOut(vpcId: string): Promise<number> {
  const record = JSON.parse(await readFile(join(on.kiln.home, 'networks', vpcId, 'vpc.json'), 'utf8'))
  const [program, ...entering] = enterArgs(record.mode, record.holder.pid)
  const [link] = JSON.parse(await run(program!, [...entering, 'ip', '-s', '-j', 'link', 'show', 'dev', 'egress0']))
  return link.stats64.tx.packets
}

/** Packets of three seconds. */
async function leaving(vpcId: string): Promise<number> {
  const before = await packetsOut(vpcId)
  await systemClock.sleep(3000)
  return (await packetsOut(vpcId)) - before
}

test('entries, lists and gateways are followed while guests run', async () => {
  const { fleet } = on
  const send: typeof fleet.ec2.send = fleet.ec2.send.bind(fleet.ec2)
  const VpcId = (await send(new CreateVpcCommand({ CidrBlock: '10.30.0.0/16' }))).Vpc!.VpcId!
  const subnet = async (CidrBlock: string) =>
    (await send(new CreateSubnetCommand({ VpcId, CidrBlock }))).Subnet!.SubnetId!
  const table = async (SubnetId: string) => {
    const { RouteTableId } = (await send(new CreateRouteTableCommand({ VpcId }))).RouteTable!
    await send(new AssociateRouteTableCommand({ RouteTableId, SubnetId }))
    return RouteTableId!
  }
  const [open, closed] = [await subnet('10.30.1.0/24'), await subnet('10.30.2.0/24')]
  const [front, back] = [await table(open), await table(closed)]
  const { InternetGatewayId: GatewayId } = (await send(new CreateInternetGatewayCommand({}))).InternetGateway!
  await send(new AttachInternetGatewayCommand({ InternetGatewayId: GatewayId, VpcId }))
  await send(new CreateRouteCommand({ RouteTableId: front, DestinationCidrBlock: everywhere, GatewayId }))
  const logins = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22 }
  const group = async (GroupName: string, from: object) => {
    const { GroupId } = await send(new CreateSecurityGroupCommand({ VpcId, GroupName, Description: GroupName }))
    const IpPermissions = [{ ...logins, ...from }]
    await send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }))
    return GroupId!
  }
  const made = await send(
    new CreateManagedPrefixListCommand({
      ...{ PrefixListName: 'friends', AddressFamily: 'IPv4', MaxEntries: 3 },
      Entries: [{ Cidr: '10.30.1.0/24' }],
    }),
  )
  const PrefixListId = made.PrefixList!.PrefixListId!
  const guarded = await group('guarded', { PrefixListIds: [{ PrefixListId }] })
  const welcoming = await group('welcoming', { IpRanges: [{ CidrIp: everywhere }] })

  // The first guest has an interface that was there before it.
  const own = await send(new CreateNetworkInterfaceCommand({ SubnetId: open, Groups: [welcoming] }))
  const { NetworkInterfaceId, PrivateIpAddress } = own.NetworkInterface!
  const address = await send(new AllocateAddressCommand({}))
  await send(new AssociateAddressCommand({ AllocationId: address.AllocationId, NetworkInterfaceId }))
  const NetworkInterfaces = [{ DeviceIndex: 0, NetworkInterfaceId }]
  const UserData = Buffer.from(chatter).toString('base64')
  const [two] = (await fleet.launch({
    isWaitedFor: false,
    more: { SubnetId: closed, SecurityGroupIds: [guarded], UserData },
  })) as [string]
  const [one] = (await fleet.launch({ more: { NetworkInterfaces, SecurityGroupIds: undefined } })) as [string]
  const inTwo = (await fleet.describe(two)).PrivateIpAddress!
  const greeting = (guest: string) =>
    fleet.ssh(guest, `timeout 4 nc ${inTwo} 22 < /dev/null | head -c 4 || true`).then((text) => text || 'nothing')

  // A rule that names a list follows it.
  await expect.poll(() => greeting(one), { timeout: 120_000, interval: 500 }).toBe('SSH-')
  const entry = [{ Cidr: '10.30.1.0/24' }]
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, RemoveEntries: entry }))
  expect(await greeting(one)).toBe('nothing')
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, AddEntries: entry }))
  expect(await greeting(one)).toBe('SSH-')

  // What the group lets in, the ACL keeps out.
  const inVpc = { Filters: [{ Name: 'vpc-id', Values: [VpcId] }] }
  const NetworkAclId = (await send(new DescribeNetworkAclsCommand(inVpc))).NetworkAcls![0]!.NetworkAclId!
  const deny = { NetworkAclId, RuleNumber: 50, Egress: false }
  await send(
    new CreateNetworkAclEntryCommand({
      ...{ ...deny, Protocol: '6', RuleAction: 'deny', CidrBlock: '10.30.1.0/24' },
      PortRange: { From: 22, To: 22 },
    }),
  )
  expect(await greeting(one)).toBe('nothing')
  await send(new DeleteNetworkAclEntryCommand(deny))
  expect(await greeting(one)).toBe('SSH-')

  // The private subnet gets out through the NAT gateway, and as long as there is one.
  expect(await leaving(VpcId)).toBe(0)
  const { AllocationId } = await send(new AllocateAddressCommand({}))
  const nat = await send(new CreateNatGatewayCommand({ SubnetId: open, AllocationId }))
  const NatGatewayId = nat.NatGateway!.NatGatewayId!
  await send(new CreateRouteCommand({ RouteTableId: back, DestinationCidrBlock: everywhere, NatGatewayId }))
  await expect.poll(() => leaving(VpcId), { timeout: 60_000 }).toBeGreaterThan(0)
  await send(new DeleteNatGatewayCommand({ NatGatewayId }))
  expect(await leaving(VpcId)).toBe(0)

  // The interface outlives its instance, and the next one, which begins with two cards, is found where the first was.
  expect(await fleet.ssh(one, 'hostname')).toContain(PrivateIpAddress!.replaceAll('.', '-'))
  await fleet.terminate([one])
  const both = [...NetworkInterfaces, { DeviceIndex: 2, SubnetId: open, Groups: [welcoming] }]
  const [three] = (await fleet.launch({ more: { NetworkInterfaces: both, SecurityGroupIds: undefined } })) as [string]
  const described = await fleet.describe(three)
  expect(described).toMatchObject({ PrivateIpAddress, PublicIpAddress: address.PublicIp })
  const cards = () => fleet.ssh(three, 'cat /sys/class/net/eth*/address').then((text) => text.split('\n'))
  expect(await cards()).toEqual(described.NetworkInterfaces!.map((nic) => nic.MacAddress))
  expect(await fleet.ssh(three, 'hostname')).toContain(PrivateIpAddress!.replaceAll('.', '-'))
  expect(await greeting(three)).toBe('SSH-')

  // Another card comes to the running guest, and packets come from its address.
  const second = (await send(new CreateNetworkInterfaceCommand({ SubnetId: open, Groups: [welcoming] })))
    .NetworkInterface!
  const card = { NetworkInterfaceId: second.NetworkInterfaceId!, InstanceId: three, DeviceIndex: 1 }
  const { AttachmentId } = await send(new AttachNetworkInterfaceCommand(card))
  await expect.poll(cards, { timeout: 30_000, interval: 500 }).toContain(second.MacAddress)
  const source = `${second.PrivateIpAddress}/32`
  const change = { PrefixListId, RemoveEntries: entry, AddEntries: [{ Cidr: source }] }
  await send(new ModifyManagedPrefixListCommand(change))
  expect(await greeting(three)).toBe('nothing')
  const route = `ip route replace ${inTwo}/32 via 10.30.1.1 dev eth2`
  await fleet.ssh(three, `sudo sh -c 'ip link set eth2 up && ip addr add ${source} dev eth2 && ${route} onlink'`)
  expect(await greeting(three)).toBe('SSH-')
  await send(new DetachNetworkInterfaceCommand({ AttachmentId }))
  await expect.poll(cards, { timeout: 30_000, interval: 500 }).not.toContain(second.MacAddress)
  expect(await greeting(three)).toBe('nothing')
  await fleet.terminate([two, three])
})
