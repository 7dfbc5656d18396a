import { describe, expect, test } from 'vitest'
import { awsLine, quoted } from './command-line.ts'

describe('requests as lines of the AWS CLI', () => {
  test.each([
    [
      'plain values',
      'CopyImage',
      { SourceRegion: 'us-east-1', Name: 'a b' },
      "copy-image --source-region us-east-1 --name 'a b'",
    ],
    ['lists', 'StopInstances', { InstanceIds: ['i-1', 'i-2'] }, 'stop-instances --instance-ids i-1 i-2'],
    ['switches', 'CreateImage', { InstanceId: 'i-1', NoReboot: true }, 'create-image --instance-id i-1 --no-reboot'],
    ['switches turned off', 'RegisterImage', { EnaSupport: false }, 'register-image --no-ena-support'],
    [
      'structures',
      'RegisterImage',
      { BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 3, DeleteOnTermination: false } }] },
      "register-image --block-device-mappings 'DeviceName=/dev/xvda,Ebs={VolumeSize=3,DeleteOnTermination=false}'",
    ],
    [
      'lists within structures',
      'DescribeImages',
      {
        Filters: [
          { Name: 'name', Values: ['kiln-*'] },
          { Name: 'state', Values: ['available', 'pending'] },
        ],
      },
      "describe-images --filters 'Name=name,Values=kiln-*' 'Name=state,Values=[available,pending]'",
    ],
    ['one count for two', 'RunInstances', { MinCount: 2, MaxCount: 2 }, 'run-instances --count 2'],
    ['a range of counts', 'RunInstances', { MinCount: 1, MaxCount: 4 }, 'run-instances --count 1:4'],
    ['what is not given', 'DescribeImages', { Owners: undefined }, 'describe-images'],
  ])('%s', (_, operation, input, expected) => {
    expect(awsLine(operation, input)).toBe(`aws ec2 ${expected}`)
  })

  test('name their region, show a file for what is long, and end as told', () => {
    const options = { region: 'eu-central-1', shown: { UserData: 'file:///tmp/x' }, rest: '--output text' }
    expect(awsLine('ModifyInstanceAttribute', { UserData: 'aGVsbG8=' }, options)).toBe(
      'aws ec2 modify-instance-attribute --region eu-central-1 --user-data file:///tmp/x --output text',
    )
  })

  test('quote what a shell would read otherwise', () => {
    expect(quoted("it's {a,b} $HOME")).toBe(`'it'\\''s {a,b} $HOME'`)
    expect(quoted('ami-0123,/dev/xvda')).toBe('ami-0123,/dev/xvda')
  })
})
