/** What people type: `aws ce` and `aws pricing` at a running Kiln, which verifies signatures. */
import { CostExplorerClient, GetCostAndUsageCommand } from '@aws-sdk/client-cost-explorer'
import {
  DescribeImagesCommand,
  EC2Client,
  RunInstancesCommand,
  TerminateInstancesCommand,
  waitUntilInstanceRunning,
  waitUntilInstanceTerminated,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

const day = (fromToday: number) => new Date(Date.now() + fromToday * 86_400_000).toISOString().slice(0, 10)
const computeService = 'Amazon Elastic Compute Cloud - Compute'

interface Answer {
  ResultsByTime: {
    Total: { BlendedCost?: { Amount: string } }
    Groups: { Keys: string[]; Metrics: { BlendedCost: { Amount: string } } }[]
  }[]
}

let kiln: RunningKiln
let env: NodeJS.ProcessEnv
let credentials: { accessKeyId: string; secretAccessKey: string }
const aws = async (...words: string[]) => JSON.parse(await run('aws', [...words, '--output', 'json'], { env }))

beforeAll(async () => {
  kiln = await startKiln({ auth: 'verify' })
  const { id, secret } = JSON.parse(await kiln.command('key', 'create', '--account', '123456789012', '--json'))
  credentials = { accessKeyId: id, secretAccessKey: secret }
  env = { ...kiln.env, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret }
})
afterAll(() => kiln.cleanup())

/** It runs for moments, of which a minute at least is charged. */
async function liveOnce(): Promise<void> {
  const client = new EC2Client({ endpoint: kiln.url, region: 'us-east-1', credentials })
  const { Images: images } = await client.send(new DescribeImagesCommand({ Owners: ['amazon'] }))
  const wish = { ImageId: images![0]!.ImageId!, InstanceType: 't3.micro', MinCount: 1, MaxCount: 1 } as const
  const { Instances: instances } = await client.send(new RunInstancesCommand(wish))
  const which = { InstanceIds: [instances![0]!.InstanceId!] }
  const waiting = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 120 }
  await waitUntilInstanceRunning(waiting, which)
  await client.send(new TerminateInstancesCommand(which))
  await waitUntilInstanceTerminated(waiting, which)
  client.destroy()
}

test('whoever has no key of this Kiln is refused', async () => {
  const stranger = { ...credentials, accessKeyId: 'AKIAAAAAAAAAAAAAAAAA' }
  const client = new CostExplorerClient({ endpoint: kiln.url, region: 'us-east-1', credentials: stranger })
  const TimePeriod = { Start: day(-1), End: day(0) }
  const question = new GetCostAndUsageCommand({ TimePeriod, Granularity: 'DAILY', Metrics: ['BlendedCost'] })
  await expect(client.send(question)).rejects.toMatchObject({ name: 'UnrecognizedClientException' })
  client.destroy()
})

describe.skipIf(!hasAws)(`the AWS CLI${hasAws ? '' : ' (skipped: there is no aws; Debian: awscli)'}`, () => {
  test('tells what an instance costs, in all and by service', async () => {
    await liveOnce()
    const period = ['--time-period', `Start=${day(-1)},End=${day(1)}`, '--granularity', 'DAILY']
    const filter = ['--filter', JSON.stringify({ Dimensions: { Key: 'SERVICE', Values: [computeService] } })]
    const question = ['ce', 'get-cost-and-usage', ...period, ...filter, '--metrics', 'BlendedCost']
    const whole: Answer = await aws(...question)
    const parts: Answer = await aws(...question, '--group-by', 'Type=DIMENSION,Key=SERVICE')
    const total = sum(whole.ResultsByTime.map(({ Total }) => Total.BlendedCost!.Amount))
    expect(total).toBeGreaterThanOrEqual(0.0104 / 60 - 1e-9)
    const groups = parts.ResultsByTime.flatMap(({ Groups }) => Groups)
    expect(new Set(groups.map(({ Keys }) => Keys[0]))).toEqual(new Set([computeService]))
    expect(sum(groups.map(({ Metrics }) => Metrics.BlendedCost.Amount))).toBeCloseTo(total, 10)
  })

  test('finds a price', async () => {
    const filters = ['Field=instanceType,Value=t3.micro', 'Field=regionCode,Value=us-east-1']
    const words = ['--service-code', 'AmazonEC2', '--filters', ...filters.map((filter) => `Type=TERM_MATCH,${filter}`)]
    const { PriceList: found } = await aws('pricing', 'get-products', ...words)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain('"pricePerUnit":{"USD":"0.0104000000"}')
  })

  test('is told what is wrong', async () => {
    const period = ['--time-period', `Start=${day(0)},End=${day(0)}`, '--granularity', 'DAILY']
    const error = await run('aws', ['ce', 'get-cost-and-usage', ...period, '--metrics', 'BlendedCost'], { env }).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(ProgramError)
    const message = '(ValidationException) when calling the GetCostAndUsage operation: Start date (and hour) should be'
    expect(error).toMatchObject({ stderr: expect.stringContaining(message) })
  })
})

const sum = (amounts: readonly string[]) => amounts.reduce((total, amount) => total + Number(amount), 0)
