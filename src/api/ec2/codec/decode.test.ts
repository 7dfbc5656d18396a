import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isKilnError, KilnError } from '../../../lib/errors.ts'
import { ec2Model } from '../model/model.ts'
import { decodeInput } from './decode.ts'
import { parseForm } from './form.ts'

const model = ec2Model()

function decode(operation: string, query: string) {
  return decodeInput(model.operation(operation)!, parseForm(query))
}

function refusal(operation: string, query: string): string {
  try {
    return `accepted ${JSON.stringify(decode(operation, query))}`
  } catch (error) {
    if (!isKilnError(error)) throw error
    return `${error.code}: ${error.message}`
  }
}

describe('a query form', () => {
  test('becomes what a handler is given', () => {
    const input = decode(
      'RunInstances',
      'Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=2&ImageId=ami-1&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1' +
        '&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false&BlockDeviceMapping.1.Ebs.VolumeSize=8&SecurityGroupId.2=sg-2' +
        '&SecurityGroupId.1=sg-1&UserData=a+b&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=',
    )
    expect(input).toEqual({
      MinCount: 1,
      MaxCount: 2,
      ImageId: 'ami-1',
      BlockDeviceMappings: [{ DeviceName: '/dev/sda1', Ebs: { DeleteOnTermination: false, VolumeSize: 8 } }],
      SecurityGroupIds: ['sg-1', 'sg-2'],
      UserData: 'a b',
      TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: '' }] }],
    })
  })

  test('may number its items with gaps and beyond nine', () => {
    expect(decode('DescribeImages', 'ImageId.10=c&ImageId.2=a&ImageId.9=b')).toEqual({ ImageIds: ['a', 'b', 'c'] })
  })

  test('carries times with fractions and offsets, and bytes', () => {
    const spot = decode(
      'DescribeSpotPriceHistory',
      'StartTime=2024-02-29T12:00:00.250Z&EndTime=2024-02-29T14:00:00%2B02:00',
    )
    expect(spot).toEqual({ StartTime: new Date('2024-02-29T12:00:00.250Z'), EndTime: new Date('2024-02-29T12:00:00Z') })
    expect(decode('ImportKeyPair', 'KeyName=k&PublicKeyMaterial=AP8%3D')).toEqual({
      KeyName: 'k',
      PublicKeyMaterial: Buffer.from([0, 255]),
    })
  })

  test.each([
    ['DescribeImages', 'Bogus=1', 'UnknownParameter: The parameter Bogus is not recognized'],
    ['DescribeImages', 'Filter.1.Nmae=x', 'UnknownParameter: The parameter Filter.1.Nmae is not recognized'],
    ['DescribeImages', 'imageId.1=x', 'UnknownParameter: The parameter imageId is not recognized'],
    ['DescribeImages', '__proto__=1', 'UnknownParameter: The parameter __proto__ is not recognized'],
    ['RunInstances', 'MinCount=1', 'MissingParameter: The request must contain the parameter MaxCount'],
    [
      'CreateFleet',
      'LaunchTemplateConfigs.1.Overrides.1.Priority=1.5',
      'MissingParameter: The request must contain the parameter TargetCapacitySpecification',
    ],
    [
      'RunInstances',
      'MinCount=one&MaxCount=1',
      'InvalidParameterValue: Value (one) for parameter MinCount is invalid. An integer is expected.',
    ],
    [
      'RunInstances',
      'MinCount=1.5&MaxCount=1',
      'InvalidParameterValue: Value (1.5) for parameter MinCount is invalid. An integer is expected.',
    ],
    [
      'RunInstances',
      'MinCount=1&MaxCount=1&BlockDeviceMapping.1.Ebs.DeleteOnTermination=maybe',
      'InvalidParameterValue: Value (maybe) for parameter BlockDeviceMapping.1.Ebs.DeleteOnTermination is invalid. Either true or false is expected.',
    ],
    [
      'DescribeImageAttribute',
      'ImageId=ami-1&Attribute=colour',
      'InvalidParameterValue: Value (colour) for parameter Attribute is invalid. Expected one of: blockDeviceMapping, bootMode, deregistrationProtection, description, imdsSupport, kernel, lastLaunchedTime, launchPermission, productCodes, ramdisk, sriovNetSupport, tpmSupport, uefiData.',
    ],
    [
      'CreateTags',
      'ResourceId.1=i-1&Tag.1.Key=a%00b',
      'InvalidParameterValue: Value (a\u0000b) for parameter Tag.1.Key is invalid. It has a character that XML cannot carry.',
    ],
    [
      'ImportKeyPair',
      'KeyName=k&PublicKeyMaterial=secret!',
      'InvalidParameterValue: Value (…) for parameter PublicKeyMaterial is invalid. Base64 is expected.',
    ],
    [
      'DescribeSpotPriceHistory',
      'StartTime=2024-02-30T00:00:00Z',
      'InvalidParameterValue: Value (2024-02-30T00:00:00Z) for parameter StartTime is invalid. A UTC time of the form YYYY-MM-DDThh:mm:ssZ is expected.',
    ],
    [
      'DescribeImages',
      'ImageId=ami-1',
      'InvalidParameterValue: Value (ami-1) for parameter ImageId is invalid. It is a list: its items are numbered from 1.',
    ],
    [
      'DescribeImages',
      'ImageId.0=ami-1',
      'InvalidParameterValue: The parameter ImageId.0 is invalid. Items of a list are numbered from 1.',
    ],
    [
      'DescribeImages',
      'ImageId.01=ami-1',
      'InvalidParameterValue: The parameter ImageId.01 is invalid. Items of a list are numbered from 1.',
    ],
    [
      'DescribeImages',
      'Filter.1=x',
      'InvalidParameterValue: Value (x) for parameter Filter.1 is invalid. It has members.',
    ],
    [
      'DescribeImages',
      'DryRun.1=true',
      'InvalidParameterValue: The parameter DryRun is invalid. It is a single value and has no members.',
    ],
    [
      'DescribeImages',
      'ImageId..1=x',
      'MalformedQueryString: The query string is malformed: ImageId..1 is not a name.',
    ],
    [
      'DescribeImages',
      'Owner.1=self&Owner.1=self',
      'MalformedQueryString: The query string is malformed: the parameter Owner.1 is given more than once.',
    ],
    [
      'DescribeImages',
      'Owner.1=%zz',
      'MalformedQueryString: The query string is malformed: it has a broken percent-encoding.',
    ],
    ['DescribeImages', '=x', 'MalformedQueryString: The query string is malformed: it has a value without a name.'],
  ])('%s with %s is refused', (operation, query, expected) => {
    expect(refusal(operation, query)).toBe(expected)
  })

  test('is bounded in parameters, items and depth', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `ImageId.${i + 1}=ami-1`).join('&')
    expect(decode('DescribeImages', many(5000))).toMatchObject({ ImageIds: { length: 5000 } })
    expect(refusal('DescribeImages', many(5001))).toMatch(
      /^InvalidParameterValue: The parameter ImageId has 5001 items/,
    )
    expect(refusal('DescribeImages', many(10_001))).toMatch(/^MalformedQueryString: .*more than 10000 parameters/)
    expect(refusal('DescribeImages', `${'A.'.repeat(20)}A=1`)).toMatch(/^MalformedQueryString/)
  })

  test('with long values does not come back in full', () => {
    expect(refusal('DescribeImages', `DryRun=${'x'.repeat(5000)}`).length).toBeLessThan(300)
    expect(refusal('DescribeImages', `${'x'.repeat(5000)}=1`).length).toBeLessThan(300)
  })

  const operations = [...model.operationNames]
  const names = operations.flatMap((name) => model.operation(name)!.input.members.map((member) => member.queryName))
  const segment = fc.oneof(
    fc.constantFrom(...names),
    fc.constantFrom('1', '2', '0', 'Name', 'Value', 'Ebs', ''),
    fc.string(),
  )
  const key = fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) => segments.join('.'))
  const value = fc.oneof(
    fc.constantFrom('true', '1', '-1', '2024-01-01T00:00:00Z', 'AAAA', ''),
    fc.string({ unit: 'binary' }),
  )
  const escaped = (text: string) => encodeURIComponent(text.toWellFormed())

  test('whatever it holds, is read or refused', () => {
    const pairs = fc.array(fc.tuple(key, value), { maxLength: 12 })
    fc.assert(
      fc.property(fc.constantFrom(...operations), pairs, (operation, form) => {
        const query = form.map(([name, text]) => `${escaped(name)}=${escaped(text)}`).join('&')
        try {
          decode(operation, query)
        } catch (error) {
          expect(error).toBeInstanceOf(KilnError)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('whatever its bytes are, is read or refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(...operations), fc.string({ unit: 'binary', maxLength: 200 }), (operation, query) => {
        try {
          decode(operation, query)
        } catch (error) {
          expect(error).toBeInstanceOf(KilnError)
        }
      }),
      { numRuns: 3000 },
    )
  })
})
