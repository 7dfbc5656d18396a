/** Two VPCs, three real guests: packets go where groups and routes allow, and nowhere else. */
import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteRouteCommand,
  ModifySubnetAttributeCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { useFleet } from './support/fleet.ts'

const on = useFleet({ hasInstance: false })

const logins = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22 }
const echoes = { IpProtocol: 'tcp', FromPort: 7000, ToPort: 7000 }
/** A guest that says back whatever it is told. */
const echoServer = '#!/bin/sh\nwhile true; do nc -l -p 7000 -e cat; done &\n'

async function group(VpcId: string, GroupName: string, from: object): Promise<string> {
  const made = await on.fleet.ec2.send(new CreateSecurityGroupCommand({ VpcId, GroupName, Description: GroupName }))
  const IpPermissions = [logins, echoes].map((ports) => ({ ...ports, ...from }))
  await on.fleet.ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: made.GroupId, IpPermissions }))
  return made.GroupId!
}

/** What the SSH server at that address says first to a guest, or nothing. */
const greeting = (guest: string, ip: string) =>
  on.fleet.ssh(guest, `timeout 4 nc ${ip} 22 < /dev/null | head -c 4 || true`).then((text) => text || 'nothing')

/** The same to this host. */
async function greetingHere(ip: string): Promise<string> {
  const login = ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=4', '-o', 'StrictHostKeyChecking=no']
  const probe = [...login, '-o', 'UserKnownHostsFile=/dev/null', `nobody@${ip}`, 'true']
  const said = await run('ssh', probe, { timeoutMs: 20_000 }).catch((error) => String(error))
  return said.includes('Permission denied') ? 'answers' : 'nothing'
}

test('guests of two VPCs, a public and a private subnet, a rule that goes and an address that moves', async () => {
  const { fleet } = on
  const send: typeof fleet.ec2.send = fleet.ec2.send.bind(fleet.ec2)
  const VpcId = (await send(new CreateVpcCommand({ CidrBlock: '10.20.0.0/16' }))).Vpc!.VpcId!
  const subnet = async (CidrBlock: string) =>
    (await send(new CreateSubnetCommand({ VpcId, CidrBlock }))).Subnet!.SubnetId!
  const [open, closed] = [await subnet('10.20.1.0/24'), await subnet('10.20.2.0/24')]
  await send(new ModifySubnetAttributeCommand({ SubnetId: open, MapPublicIpOnLaunch: { Value: true } }))
  const { InternetGatewayId: GatewayId } = (await send(new CreateInternetGatewayCommand({}))).InternetGateway!
  await send(new AttachInternetGatewayCommand({ InternetGatewayId: GatewayId, VpcId }))
  const { RouteTableId } = (await send(new CreateRouteTableCommand({ VpcId }))).RouteTable!
  const outward = { RouteTableId, DestinationCidrBlock: '0.0.0.0/0' }
  await send(new CreateRouteCommand({ ...outward, GatewayId }))
  await send(new AssociateRouteTableCommand({ RouteTableId, SubnetId: open }))
  const front = await group(VpcId, 'front', { IpRanges: [{ CidrIp: '0.0.0.0/0' }] })
  const fromFront = { UserIdGroupPairs: [{ GroupId: front }] }
  const back = await group(VpcId, 'back', fromFront)

  const launch = async (more: object) => (await fleet.launch({ isWaitedFor: false, more }))[0]!
  const one = await launch({ SubnetId: open, SecurityGroupIds: [front] })
  const UserData = Buffer.from(echoServer).toString('base64')
  const two = await launch({ SubnetId: closed, SecurityGroupIds: [back], UserData })
  const [other] = (await fleet.launch({})) as [string]
  const [inOne, inTwo] = [await fleet.describe(one), await fleet.describe(two)]
  expect(inOne.PrivateIpAddress).toMatch(/^10\.20\.1\./)
  expect(inTwo.PrivateIpAddress).toMatch(/^10\.20\.2\./)
  expect(inTwo.PublicIpAddress).toBeUndefined()

  // Between the subnets of one VPC as the groups allow, and into the other VPC never.
  await expect.poll(() => greeting(one, inTwo.PrivateIpAddress!), { timeout: 120_000, interval: 500 }).toBe('SSH-')
  expect(await greeting(other, inOne.PrivateIpAddress!)).toBe('nothing')
  expect(await greeting(other, inTwo.PrivateIpAddress!)).toBe('nothing')
  expect(await greeting(one, (await fleet.describe(other)).PrivateIpAddress!)).toBe('nothing')

  // A rule that is revoked closes its way, to connections that are open too.
  const echo = (words: string) => fleet.ssh(one, `(${words}) | timeout 14 nc ${inTwo.PrivateIpAddress} 7000 || true`)
  await expect.poll(() => echo('echo ready; sleep 1'), { timeout: 60_000, interval: 500 }).toBe('ready')
  const held = echo('echo before; sleep 6; echo after; sleep 3')
  await systemClock.sleep(2500)
  const IpPermissions = [logins, echoes].map((ports) => ({ ...ports, ...fromFront }))
  await send(new RevokeSecurityGroupIngressCommand({ GroupId: back, IpPermissions }))
  expect(await greeting(one, inTwo.PrivateIpAddress!)).toBe('nothing')
  expect(await held).toBe('before')

  // An address moves from one VPC to another, and logins follow it.
  const { AllocationId, PublicIp } = await send(new AllocateAddressCommand({}))
  const moveTo = async (InstanceId: string) => {
    await send(new AssociateAddressCommand({ AllocationId, InstanceId }))
    expect((await fleet.describe(InstanceId)).PublicIpAddress).toBe(PublicIp)
    return await fleet.ssh(InstanceId, 'hostname')
  }
  const name = ({ PrivateIpAddress: ip }: { PrivateIpAddress?: string }) => `ip-${ip!.replaceAll('.', '-')}`
  expect(await moveTo(one)).toContain(name(inOne))
  expect(await moveTo(other)).toContain(name(await fleet.describe(other)))

  // Without its route the public subnet is a private one.
  const address = (await fleet.describe(one)).PublicIpAddress!
  expect(await greetingHere(address)).toBe('answers')
  await send(new DeleteRouteCommand(outward))
  expect(await greetingHere(address)).toBe('nothing')
  expect(await greetingHere(PublicIp!)).toBe('answers')
  await send(new CreateRouteCommand({ ...outward, GatewayId }))
  expect(await greetingHere(address)).toBe('answers')
  await fleet.terminate([one, two, other])
})
