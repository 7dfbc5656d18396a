import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { understoodOutput } from '../../testing/official-client.ts'
import { ec2Model } from '../model/model.ts'
import { decodeError, decodeOutput } from './client-side.ts'
import { encodeError, encodeOutput } from './encode.ts'

const model = ec2Model()
const describeInstances = model.operation('DescribeInstances')!
const describeImages = model.operation('DescribeImages')!
const encode = (output: object) => encodeOutput(describeImages, output, 'the-id')

describe('an answer', () => {
  test('is what EC2 would print', () => {
    const xml = encodeOutput(
      describeInstances,
      {
        Reservations: [
          {
            ReservationId: 'r-1',
            Groups: [],
            Instances: [
              { InstanceId: 'i-1', LaunchTime: new Date(1_700_000_000_000), State: { Code: 16, Name: 'running' } },
            ],
          },
        ],
        NextToken: undefined,
      },
      'the-id',
    )
    expect(xml).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n' +
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>the-id</requestId>' +
        '<reservationSet><item><reservationId>r-1</reservationId><groupSet/><instancesSet><item><instanceId>i-1</instanceId>' +
        '<launchTime>2023-11-14T22:13:20.000Z</launchTime><instanceState><code>16</code><name>running</name></instanceState>' +
        '</item></instancesSet></item></reservationSet></DescribeInstancesResponse>',
    )
  })

  test('of an operation without output says that it was done', () => {
    const xml = encodeOutput(model.operation('RebootInstances')!, {}, 'the-id')
    expect(xml).toContain('<requestId>the-id</requestId><return>true</return></RebootInstancesResponse>')
  })

  test('tells an empty list from an absent one', async () => {
    expect(encode({ Images: [] })).toContain('<imagesSet/>')
    expect(await understoodOutput('DescribeImages', encode({ Images: [] }))).toEqual({ Images: [] })
    expect(await understoodOutput('DescribeImages', encode({}))).not.toHaveProperty('Images')
  })

  test.each<[string, object]>([
    ['a member that the model does not know', { Imges: [] }],
    ['a member of the query form', { ImageId: 'ami-1' }],
    ['a text for a list', { Images: 'ami-1' }],
    ['a list for a structure', { Images: [['ami-1']] }],
    ['a number for a text', { NextToken: 1 }],
    ['a text for a number', { Images: [{ BlockDeviceMappings: [{ Ebs: { VolumeSize: '8' } }] }] }],
    ['a text for a flag', { Images: [{ Public: 'yes' }] }],
    ['no number', { Images: [{ BlockDeviceMappings: [{ Ebs: { VolumeSize: Number.NaN } }] }] }],
    ['an absent item', { Images: [undefined] }],
  ])('with %s is a bug of ours', (_, output) => {
    expect(() => encode(output)).toThrow(/assertion failed: DescribeImages/)
  })

  test('carries any text that XML can carry, to both clients, and never breaks for the rest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (raw) => {
        const output = { Images: [{ Name: `(${raw})` }] }
        const xml = encode(output)
        const carried = [...raw].every((c) => /[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u.test(c))
        const own = decodeOutput(describeImages, xml) as typeof output
        const official = (await understoodOutput('DescribeImages', xml)) as typeof output
        expect(own.Images[0]!.Name.startsWith('(')).toBe(true)
        if (carried) {
          expect(own).toEqual(output)
          expect(official).toEqual(output)
        } else {
          expect(own.Images[0]!.Name).toContain('\ufffd')
        }
      }),
      { numRuns: 200 },
    )
  })

  test('may be large and full of characters that are escaped', () => {
    const output = { Images: Array.from({ length: 5000 }, (_, i) => ({ Name: `<&>"'\r${i}` })) }
    expect(decodeOutput(describeImages, encode(output))).toEqual(output)
  })
})

describe('an error answer', () => {
  test('has the form of EC2, and our own client reads it', () => {
    const xml = encodeError({ code: 'InvalidAMIID.NotFound', message: 'no <image> & "more"' }, 'the-id')
    expect(xml).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code>' +
        '<Message>no &lt;image&gt; &amp; &quot;more&quot;</Message></Error></Errors><RequestID>the-id</RequestID></Response>',
    )
    expect(decodeError(xml)).toEqual({
      code: 'InvalidAMIID.NotFound',
      message: 'no <image> & "more"',
      requestId: 'the-id',
    })
    expect(decodeError('<html><body>a proxy says no</body></html>')).toBeUndefined()
    expect(decodeError('')).toBeUndefined()
  })
})
