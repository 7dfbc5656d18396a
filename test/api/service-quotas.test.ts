/** What an account may have at most, through the official client: it is what is held. */
import { CreateSecurityGroupCommand, DescribeVpcsCommand } from '@aws-sdk/client-ec2'
import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  ListServiceQuotasCommand,
  ListServicesCommand,
  RequestServiceQuotaIncreaseCommand,
} from '@aws-sdk/client-service-quotas'
import { expect, test } from 'vitest'
import { callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const account = '000000000001'
const groupsPerInterface = { ServiceCode: 'vpc', QuotaCode: 'L-2AFB9258' }

test('a quota is told by its code, as it applies and by default', async () => {
  const quotas = served().quotas(account)
  const expected = {
    ...{ ...groupsPerInterface, QuotaName: 'Security groups per network interface', Value: 5, Adjustable: false },
    ServiceName: 'Amazon Virtual Private Cloud (Amazon VPC)',
  }
  const { Quota: applied } = await quotas.send(new GetServiceQuotaCommand(groupsPerInterface))
  const QuotaArn = `arn:aws:servicequotas:eu-west-1:${account}:vpc/L-2AFB9258`
  expect(applied).toMatchObject({ ...expected, QuotaArn, QuotaAppliedAtLevel: 'ACCOUNT' })
  const { Quota: usual } = await quotas.send(new GetAWSDefaultServiceQuotaCommand(groupsPerInterface))
  expect(usual).toMatchObject({ ...expected, QuotaArn: QuotaArn.replace(account, '') })
})

test('services are listed, and the quotas of each', async () => {
  const quotas = served().quotas(account)
  const { Services: services } = await quotas.send(new ListServicesCommand({}))
  expect(services!.map(({ ServiceCode }) => ServiceCode)).toEqual(['ec2', 'vpc'])
  const { Quotas: ofEc2 } = await quotas.send(new ListServiceQuotasCommand({ ServiceCode: 'ec2' }))
  expect(ofEc2).toMatchObject([{ QuotaName: 'EC2-VPC Elastic IPs', Value: 256 }])
  const { Quotas: one } = await quotas.send(new ListServiceQuotasCommand(groupsPerInterface))
  expect(one).toHaveLength(1)
})

test('what is told is what is held', async () => {
  const caller = await callerOf(served(), account)
  const { Quota: quota } = await served().quotas(account).send(new GetServiceQuotaCommand(groupsPerInterface))
  const VpcId = (await caller.ec2.send(new DescribeVpcsCommand({}))).Vpcs![0]!.VpcId
  const names = Array.from({ length: quota!.Value! + 1 }, (_, index) => `group ${index}`)
  const groups = await Promise.all(
    names.map(async (GroupName) => {
      const made = await caller.ec2.send(new CreateSecurityGroupCommand({ GroupName, Description: GroupName, VpcId }))
      return made.GroupId!
    }),
  )
  await caller.launch({ SecurityGroupIds: groups.slice(1) })
  await expectRefusal(
    caller.launch({ SecurityGroupIds: groups }),
    'SecurityGroupsPerInterfaceLimitExceeded',
    `${quota!.Value}`,
  )
})

test.each<[code: string, command: GetServiceQuotaCommand | ListServiceQuotasCommand, named: string]>([
  ['NoSuchResourceException', new GetServiceQuotaCommand({ ServiceCode: 'vpc', QuotaCode: 'L-00000000' }), 'QuotaCode'],
  ['NoSuchResourceException', new GetServiceQuotaCommand({ ServiceCode: 'x', QuotaCode: 'L-2AFB9258' }), 'ServiceCode'],
  ['IllegalArgumentException', new ListServiceQuotasCommand({ ServiceCode: 'vpc', MaxResults: 101 }), 'MaxResults'],
  ['InvalidPaginationTokenException', new ListServiceQuotasCommand({ ServiceCode: 'vpc', NextToken: 'x' }), 'token'],
])('%s %#', async (code, command, named) => {
  const refusal = { name: code, message: expect.stringMatching(new RegExp(named, 'i')) }
  await expect(
    served()
      .quotas(account)
      .send(command as GetServiceQuotaCommand),
  ).rejects.toMatchObject(refusal)
})

test('nobody raises one', async () => {
  const more = new RequestServiceQuotaIncreaseCommand({ ...groupsPerInterface, DesiredValue: 9 })
  await expect(served().quotas(account).send(more)).rejects.toMatchObject({ name: 'UnsupportedOperationException' })
})
