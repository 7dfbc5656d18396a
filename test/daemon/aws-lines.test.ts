/**
 * The lines that the tour shows are true: given to the AWS CLI, each sends the very request that the tour sends.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeInput } from '../../src/api/ec2/codec/client-side.ts'
import { ec2Model } from '../../src/api/ec2/model/model.ts'
import { awsLine } from '../../src/cli/tour/command-line.ts'
import { run } from '../../src/lib/programs.ts'
import { cleanEnvironment } from '../e2e/support/kiln.ts'

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

const requests: [operation: string, input: object, shown?: Record<string, string>][] = [
  ['DescribeImages', { Owners: ['amazon'] }],
  ['CreateKeyPair', { KeyName: 'tour', KeyType: 'ed25519' }],
  ['DescribeKeyPairs', { KeyNames: ['tour'], IncludePublicKey: true }],
  ['CreateSecurityGroup', { GroupName: 'tour', Description: 'Logins' }],
  [
    'AuthorizeSecurityGroupIngress',
    {
      GroupId: 'sg-1',
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '0.0.0.0/0' }] }],
    },
  ],
  [
    'RegisterImage',
    {
      Name: 'tour-other',
      Architecture: 'x86_64',
      RootDeviceName: '/dev/xvda',
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: 'snap-1', VolumeSize: 3 } }],
      EnaSupport: true,
    },
  ],
  [
    'RunInstances',
    {
      ImageId: 'ami-1',
      InstanceType: 't3.small',
      UserData: Buffer.from('#!/bin/sh\n').toString('base64'),
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { DeleteOnTermination: false } }],
      KeyName: 'tour',
      SecurityGroupIds: ['sg-1'],
      MinCount: 2,
      MaxCount: 2,
    },
    { UserData: '#!/bin/sh\n' },
  ],
  ['StopInstances', { InstanceIds: ['i-1', 'i-2'] }],
  ['CreateImage', { InstanceId: 'i-1', Name: 'tour-with-file' }],
  ['CopyImage', { SourceRegion: 'us-east-1', SourceImageId: 'ami-1', Name: 'tour-with-file' }],
  ['DeregisterImage', { ImageId: 'ami-1' }],
  ['DescribeVolumes', {}],
  ['DescribeInstanceTypes', { Filters: [{ Name: 'instance-storage-supported', Values: ['true'] }] }],
  ['RegisterImage', { Name: 'tour-golden', ImageLocation: 'tour-images/golden/golden.manifest.xml' }],
  ['CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 }],
  ['AttachVolume', { VolumeId: 'vol-1', InstanceId: 'i-1', Device: '/dev/sdf' }],
]

describe.skipIf(!hasAws)(`lines of the tour${hasAws ? '' : ' (skipped: there is no aws; Debian: awscli)'}`, () => {
  let server: Server
  let received = ''
  beforeAll(async () => {
    server = createServer(async (request, response) => {
      received = Buffer.concat(await request.toArray()).toString()
      response.writeHead(200, { 'content-type': 'text/xml' }).end('<Response/>')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => server.close())

  test.each(requests)('%s', async (operation, input, shown) => {
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const credentials = { AWS_ACCESS_KEY_ID: '123456789012', AWS_SECRET_ACCESS_KEY: 'kiln', AWS_REGION: 'us-east-1' }
    const line = awsLine(operation, input, { region: 'us-east-1', shown, rest: `--endpoint-url ${endpoint}` })
    await run('bash', ['-ec', line], { env: { ...cleanEnvironment(), ...credentials } })
    const model = ec2Model()
    expect(fields(received)).toEqual(fields(encodeInput(model.operation(operation)!, input, model.apiVersion)))
  })
})

/** The form without what the AWS CLI adds of its own: a token, a size of pages. */
function fields(form: string): Record<string, string> {
  const { ClientToken: _, MaxResults: __, ...rest } = Object.fromEntries(new URLSearchParams(form))
  return rest
}
