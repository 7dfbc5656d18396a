/** What a launch may ask for that Kiln has not, or that EC2 takes in no combination: refused by name, and nothing is made. */
import { DescribeSubnetsCommand } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let subnet: string

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  subnet = (await caller.ec2.send(new DescribeSubnetsCommand({}))).Subnets![0]!.SubnetId!
  await caller.quiet()
})

const cards = (...indexes: number[]) => indexes.map((DeviceIndex) => ({ DeviceIndex }))
const reservation = 'cr-0123456789abcdef0'

test.each<[input: () => object, code: string, named: string]>([
  [() => ({ PrivateIpAddress: 'x' }), 'InvalidParameterValue', 'PrivateIpAddress'],
  [() => ({ SubnetId: subnet, SecurityGroups: ['default'] }), 'InvalidParameterCombination', 'SecurityGroup'],
  [() => ({ NetworkInterfaces: [{ DeviceIndex: 1 }] }), 'InvalidParameterValue', 'DeviceIndex'],
  [() => ({ NetworkInterfaces: [{ DeviceIndex: 0, Ipv4PrefixCount: 1 }] }), 'UnsupportedOperation', 'Ipv4PrefixCount'],
  [
    () => ({ NetworkInterfaces: [{ DeviceIndex: 0, SecondaryPrivateIpAddressCount: 2 }] }),
    'UnsupportedOperation',
    'SecondaryPrivateIpAddressCount',
  ],
  [() => ({ NetworkInterfaces: [{ DeviceIndex: 0 }, { DeviceIndex: 0 }] }), 'InvalidParameterValue', 'DeviceIndex'],
  [() => ({ NetworkInterfaces: [{ DeviceIndex: 0 }, { DeviceIndex: 9 }] }), 'InvalidParameterValue', 'DeviceIndex'],
  [() => ({ NetworkInterfaces: cards(0, 1, 1) }), 'InvalidParameterValue', 'unique device index'],
  [() => ({ NetworkInterfaces: cards(0, 1, 2, 3, 1) }), 'AttachmentLimitExceeded', '5'],
  [
    () => ({ NetworkInterfaces: [{ DeviceIndex: 0, AssociatePublicIpAddress: true }, { DeviceIndex: 1 }] }),
    'InvalidParameterCombination',
    'AssociatePublicIpAddress',
  ],
  [
    () => ({ NetworkInterfaces: [...cards(0), { DeviceIndex: 1, PrivateIpAddress: '172.31.0.9' }], MaxCount: 2 }),
    'InvalidParameterCombination',
    'PrivateIpAddress',
  ],
  [
    () => ({ NetworkInterfaces: [...cards(0), { DeviceIndex: 1, SubnetId: 'subnet-0123456789abcdef0' }] }),
    'InvalidSubnetID.NotFound',
    'subnet-0123456789abcdef0',
  ],
  [
    () => ({ NetworkInterfaces: [...cards(0), { DeviceIndex: 1, Groups: ['sg-0123456789abcdef0'] }] }),
    'InvalidGroup.NotFound',
    'sg-0123456789abcdef0',
  ],
  [() => ({ Ipv6AddressCount: -1 }), 'UnsupportedOperation', 'Ipv6AddressCount'],
  [() => ({ CreditSpecification: { CpuCredits: 'much' } }), 'InvalidCpuCredits', 'CpuCredits'],
  [
    () => ({ CreditSpecification: { CpuCredits: 'standard' }, InstanceType: 'm5.large' }),
    'InstanceCreditSpecification.NotSupported',
    'm5.large',
  ],
  [
    () => ({ LaunchTemplate: { LaunchTemplateName: 'nowhere' } }),
    'InvalidLaunchTemplateName.NotFoundException',
    'LaunchTemplateName',
  ],
  [
    () => ({ LaunchTemplate: { LaunchTemplateId: 'lt-0123456789abcdef0' } }),
    'InvalidLaunchTemplateId.NotFound',
    'LaunchTemplateId',
  ],
  [() => ({ LaunchTemplate: { LaunchTemplateId: 'x' } }), 'InvalidLaunchTemplateId.Malformed', 'lt-'],
  [() => ({ LaunchTemplate: { Version: '1' } }), 'MissingParameter', 'LaunchTemplateId'],
  [() => ({ IamInstanceProfile: { Name: 'x' } }), 'InvalidParameterValue', 'Invalid IAM Instance Profile name'],
  [() => ({ IamInstanceProfile: { Arn: 'x' } }), 'InvalidParameterValue', 'Invalid IAM Instance Profile ARN'],
  [() => ({ IamInstanceProfile: { Arn: 'x', Name: 'x' } }), 'InvalidParameterCombination', 'iamInstanceProfile.arn'],
  [
    () => ({ InstanceMarketOptions: { MarketType: 'capacity-block' } }),
    'UnsupportedOperation',
    'InstanceMarketOptions',
  ],
  [() => ({ CpuOptions: { CoreCount: 1 } }), 'UnsupportedOperation', 'CpuOptions'],
  [() => ({ Operator: { Principal: 'x' } }), 'UnsupportedOperation', 'Operator'],
  [
    () => ({ CapacityReservationSpecification: { CapacityReservationTarget: { CapacityReservationId: reservation } } }),
    'UnsupportedOperation',
    'CapacityReservationTarget',
  ],
  [() => ({ PrivateDnsNameOptions: { HostnameType: 'resource-name' } }), 'UnsupportedOperation', 'HostnameType'],
  [() => ({ MaintenanceOptions: { AutoRecovery: 'disabled' } }), 'UnsupportedOperation', 'AutoRecovery'],
  [
    () => ({ NetworkPerformanceOptions: { BandwidthWeighting: 'vpc-1' } }),
    'UnsupportedOperation',
    'BandwidthWeighting',
  ],
])('RunInstances %#', async (input, code, named) => {
  const before = await contentsOf(served())
  const whole = { ImageId: caller.seedImage, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1, ...input() }
  await expectRefusal(caller.ec2.send(commandFor('RunInstances', whole)), code, named)
  expect(await contentsOf(served())).toEqual(before)
})

test('what tools spell out although it is the default is taken', async () => {
  const [instance] = await caller.launch({
    CreditSpecification: { CpuCredits: 'unlimited' },
    CapacityReservationSpecification: { CapacityReservationPreference: 'open' },
    MaintenanceOptions: { AutoRecovery: 'default' },
    NetworkPerformanceOptions: { BandwidthWeighting: 'default' },
    PrivateDnsNameOptions: { HostnameType: 'ip-name', EnableResourceNameDnsARecord: false },
    Placement: { Tenancy: 'default', AvailabilityZone: '' },
    ...{ IamInstanceProfile: { Name: '' }, SubnetId: '', UserData: '' },
  })
  expect(instance).toMatchObject({ State: { Name: 'running' }, ProductCodes: [] })
})
