import { connect } from 'node:net'
import {
  DescribeImagesCommand,
  DescribeRegionsCommand,
  paginateDescribeImages,
  RunInstancesCommand,
} from '@aws-sdk/client-ec2'
import { AssumeRootCommand, STSClient } from '@aws-sdk/client-sts'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { KilnError } from '../../lib/errors.ts'
import type { Ec2Handlers, RequestContext } from '../ec2/handler.ts'
import { ec2Model } from '../ec2/model/model.ts'
import { nextTokenOf, readPage } from '../ec2/shared/pagination.ts'
import {
  account,
  authorization,
  client,
  codeOf,
  credentials,
  failure,
  type Reply,
  running,
  send,
  start,
} from '../testing/http-edge.ts'
import { commandFor, officialOperations, sampleOf } from '../testing/official-client.ts'
import type { EmptyCloud } from '../testing/running-server.ts'

describe('an operation that Kiln serves', () => {
  test('gets typed input and context, and its output reaches the official client', async () => {
    let context: RequestContext<EmptyCloud> | undefined
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeRegions: async (input, ctx) => {
        context = ctx
        return { Regions: input.RegionNames!.map((RegionName) => ({ RegionName })) }
      },
    }
    await start({ handlers })
    const output = await client!.send(new DescribeRegionsCommand({ RegionNames: ['eu-west-1', 'us-east-1'] }))
    expect(output.Regions).toEqual([{ RegionName: 'eu-west-1' }, { RegionName: 'us-east-1' }])
    expect(context).toMatchObject({ accountId: account, region: 'eu-west-1' })
    expect(output.$metadata.requestId).toBe(context!.requestId)
    expect(context!.cloud.entered).toEqual([`${account} eu-west-1`])
  })

  test('may be asked by GET as well as by POST, or half and half', async () => {
    await start({
      handlers: { DescribeRegions: async (input) => ({ Regions: [{ RegionName: input.RegionNames?.join() }] }) },
    })
    const get = await send({
      path: '/?Action=DescribeRegions&RegionName.1=a',
      headers: { authorization: authorization() },
    })
    expect(get).toMatchObject({ status: 200, body: expect.stringContaining('<regionName>a</regionName>') })
    const both = await send({
      method: 'POST',
      path: '/?Action=DescribeRegions',
      headers: { authorization: authorization(), 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: 'RegionName.1=b&Version=2016-11-15',
    })
    expect(both).toMatchObject({ status: 200, body: expect.stringContaining('<regionName>b</regionName>') })
  })

  test('refuses in the words of the catalogue', async () => {
    const refuse: Ec2Handlers<EmptyCloud> = {
      DescribeImages: async () => {
        throw new KilnError('InvalidAMIID.NotFound', "The image id '[ami-1]' does not exist")
      },
    }
    await start({ handlers: refuse })
    expect(await failure(client!.send(new DescribeImagesCommand({})))).toMatchObject({
      name: 'InvalidAMIID.NotFound',
      message: "The image id '[ami-1]' does not exist",
      $metadata: { httpStatusCode: 400 },
    })
  })

  test('that fails answers InternalError, and the cause is in the log alone', async () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeImages: async () => {
        throw new Error('the secret cause')
      },
      DescribeRegions: async () => ({ NoSuchMember: 1 }) as never,
    }
    await start({ handlers, log })
    const error = await failure(client!.send(new DescribeImagesCommand({})))
    expect(error).toMatchObject({ name: 'InternalError', $metadata: { httpStatusCode: 500 } })
    const { requestId } = (error as { $metadata: { requestId: string } }).$metadata
    expect((error as Error).message).toContain(requestId)
    expect(JSON.stringify(error)).not.toContain('secret cause')
    expect(lines.find((line) => line.includes('the secret cause'))).toContain(requestId)
    expect(await failure(client!.send(new DescribeRegionsCommand({})))).toMatchObject({ name: 'InternalError' })
    expect(lines.join()).toContain('NoSuchMember')
  })

  test('that finds the disk full says so', async () => {
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeImages: async () => {
        throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 })
      },
      DescribeRegions: async () => {
        throw new Error('a file', { cause: Object.assign(new Error('no space'), { code: 'ENOSPC' }) })
      },
    }
    await start({ handlers })
    const full = { name: 'Unavailable', message: expect.stringContaining('disk of the host is full') }
    expect(await failure(client!.send(new DescribeImagesCommand({})))).toMatchObject(full)
    expect(await failure(client!.send(new DescribeRegionsCommand({})))).toMatchObject(full)
  })

  test('is not run by a dry run, which is validated all the same', async () => {
    let runs = 0
    const handlers: Ec2Handlers<EmptyCloud> = {
      RunInstances: async () => {
        runs++
        return {}
      },
    }
    await start({ handlers })
    const dry = { MinCount: 1, MaxCount: 1, DryRun: true }
    expect(await failure(client!.send(new RunInstancesCommand(dry)))).toMatchObject({
      name: 'DryRunOperation',
      message: 'Request would have succeeded, but DryRun flag is set.',
      $metadata: { httpStatusCode: 412 },
    })
    const invalid = { ...dry, MaxCount: 'many' as never }
    expect(await failure(client!.send(new RunInstancesCommand(invalid)))).toMatchObject({
      name: 'InvalidParameterValue',
    })
    expect(runs).toBe(0)
  })

  test('is paged through by the official paginator', async () => {
    const names = Array.from({ length: 23 }, (_, i) => `image-${i}`)
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeImages: async (input, ctx) => {
        const { limit, after } = readPage('DescribeImages', input, ctx)
        const from = after === undefined ? 0 : Number(after)
        const next = from + limit < names.length ? String(from + limit) : null
        return {
          Images: names.slice(from, from + limit).map((Name) => ({ Name })),
          NextToken: nextTokenOf('DescribeImages', ctx, next),
        }
      },
    }
    await start({ handlers })
    const seen: string[] = []
    for await (const page of paginateDescribeImages({ client: client!, pageSize: 5 }, {})) {
      seen.push(...page.Images!.map((image) => image.Name!))
    }
    expect(seen).toEqual(names)
  })
})

describe('an operation that Kiln does not serve', () => {
  test('is a well-formed UnsupportedOperation to the official client, for every one of EC2', async () => {
    await start()
    for (const { name, input } of officialOperations) {
      expect(await failure(client!.send(commandFor(name, sampleOf(input, 'input', name))))).toMatchObject({
        name: 'UnsupportedOperation',
        message: expect.stringContaining(`The ${name} operation is not supported by Kiln`),
        $metadata: { httpStatusCode: 400 },
      })
    }
  })

  test.each([
    ['Action=LaunchRockets', 'InvalidAction'],
    ['Action=toString', 'InvalidAction'],
    ['Version=2016-11-15', 'MissingAction'],
    ['Action=DescribeImages&Version=yesterday', 'NoSuchVersion'],
    ['Action=DescribeImages&Version=2014-10-01', 'UnsupportedOperation'],
    ['Action=DescribeImages&Action=RunInstances', 'MalformedQueryString'],
    ['Action=%ff', 'MalformedQueryString'],
  ])('%s answers %s', async (query, code) => {
    await start()
    expect(codeOf(await send({ path: `/?${query}`, headers: { authorization: authorization() } }))).toBe(code)
  })
})

describe('STS', () => {
  test('says of its other operations that they are not supported, in its own form', async () => {
    await start()
    const sts = new STSClient({ endpoint: running!.url, region: 'us-east-1', credentials, maxAttempts: 1 })
    const error = await failure(
      sts.send(
        new AssumeRootCommand({ TargetPrincipal: '000000000001', TaskPolicyArn: { arn: 'arn:aws:iam::aws:policy/x' } }),
      ),
    )
    expect(error).toMatchObject({ name: 'UnsupportedOperation', Type: 'Sender', $metadata: { httpStatusCode: 400 } })
    sts.destroy()
    const unknown = await send({ path: '/?Action=Nothing', headers: { authorization: authorization('sts') } })
    expect(unknown.body).toMatch(
      /^<\?xml.*\n<ErrorResponse xmlns=.*<Code>InvalidAction<\/Code>.*<RequestId>[0-9a-f-]{36}</,
    )
  })
})

describe('the server', () => {
  const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
    send({ method: 'POST', body, headers: { authorization: authorization(), ...headers } })

  test('bounds the body, announced or not', async () => {
    await start()
    const large = Buffer.alloc(3 * 1024 * 1024, 'a')
    const announced = await post(large)
    expect([announced.status, codeOf(announced)]).toEqual([413, 'RequestEntityTooLarge'])
    const chunked = await post(large, { 'transfer-encoding': 'chunked' })
    expect([chunked.status, codeOf(chunked)]).toEqual([413, 'RequestEntityTooLarge'])
    const huge = await post(Buffer.alloc(20 * 1024 * 1024)).catch(() => 'cut off')
    expect(huge === 'cut off' || codeOf(huge as Reply) === 'RequestEntityTooLarge').toBe(true)
  })

  test('answers a refusal to a sender that is still sending', async () => {
    await start()
    const reply = await send({ method: 'POST', body: Buffer.alloc(8 * 1024 * 1024, 'a') })
    expect([reply.status, codeOf(reply)]).toEqual([403, 'MissingAuthenticationToken'])
  })

  test('bounds the headers', async () => {
    await start()
    const reply = await send({ headers: { 'x-long': 'a'.repeat(40_000) } })
    expect([reply.status, codeOf(reply)]).toEqual([431, 'RequestEntityTooLarge'])
  })

  test('cuts off a client that does not read its answer', async () => {
    // More than the buffers of both ends of a connection hold.
    const answerBytes = 32 * 1024 * 1024
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeRegions: async () => ({ Regions: [{ RegionName: 'a'.repeat(answerBytes) }] }),
    }
    const { port } = await start({ handlers, timeouts: { stalledMs: 200 } })
    const path = '/?Action=DescribeRegions&Version=2016-11-15'
    const socket = connect({ port, host: '127.0.0.1' })
    const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve))
    let received = 0
    const answered = new Promise<void>((resolve) => {
      socket.on('data', (data) => {
        if (received === 0) resolve(void socket.pause())
        received += data.length
      })
    })
    const head = ['Host: localhost', `Authorization: ${authorization()}`, 'Connection: close']
    socket.write(`GET ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
    await answered
    await new Promise((resolve) => setTimeout(resolve, 1000))
    socket.resume()
    await closed
    expect(received).toBeLessThan(answerBytes)
  })

  test('reads forms only', async () => {
    await start()
    expect(codeOf(await post('{}', { 'content-type': 'application/json' }))).toBe('MalformedQueryString')
    expect(codeOf(await post(Buffer.from([0xff, 0xfe])))).toBe('MalformedQueryString')
    expect(codeOf(await send({ method: 'DELETE', headers: { authorization: authorization() } }))).toBe('InvalidAction')
    const head = await send({ method: 'HEAD', headers: { authorization: authorization() } })
    expect([head.status, head.body]).toEqual([400, ''])
  })

  test('answers what is no HTTP, and goes on', async () => {
    await start()
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(running!.port, '127.0.0.1', () => socket.write('NONSENSE\r\n\r\n'))
      let text = ''
      socket.on('data', (data) => {
        text += data
      })
      socket.on('close', () => resolve(text))
    })
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*<Code>MalformedQueryString</s)
    expect(await send({ path: '/_kiln/health' })).toMatchObject({ status: 200 })
  })

  test('leaves one line of each request in the log, with no secret in it', async () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    await start({ log, handlers: { RunInstances: async () => ({}) } })
    await client!.send(new RunInstancesCommand({ MinCount: 1, MaxCount: 1, UserData: 'c2VjcmV0' }))
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({
      event: 'request',
      service: 'ec2',
      action: 'RunInstances',
      accountId: account,
      region: 'eu-west-1',
      code: null,
      status: 200,
      ms: expect.any(Number),
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(lines[0]).not.toContain('c2VjcmV0')
    expect(lines[0]).not.toContain('Signature')
  })

  test('closes at once although clients keep their connections, and ends what it has begun', async () => {
    let finish = () => {}
    const begun = Promise.withResolvers<void>()
    const handlers: Ec2Handlers<EmptyCloud> = {
      DescribeRegions: async () => ({ Regions: [] }),
      DescribeImages: () =>
        new Promise((resolve) => {
          begun.resolve()
          finish = () => resolve({ Images: [{ Name: 'late' }] })
        }),
    }
    await start({ handlers })
    await client!.send(new DescribeRegionsCommand({}))
    const late = client!.send(new DescribeImagesCommand({}))
    await begun.promise
    const closed = running!.close(60_000)
    finish()
    expect((await late).Images).toEqual([{ Name: 'late' }])
    const startedAt = performance.now()
    await closed
    // Long before the grace period is over.
    expect(performance.now() - startedAt).toBeLessThan(30_000)
    expect(await failure(client!.send(new DescribeRegionsCommand({})))).toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('cuts off what does not end within the grace period', async () => {
    const begun = Promise.withResolvers<void>()
    await start({
      handlers: {
        DescribeImages: () => {
          begun.resolve()
          return new Promise(() => {})
        },
      },
    })
    const stuck = failure(client!.send(new DescribeImagesCommand({})))
    await begun.promise
    await running!.close(50)
    expect(await stuck).toMatchObject({ code: 'ECONNRESET' })
  })

  test('knows every operation of the model by name alone', () => {
    expect(ec2Model().operation('__proto__')).toBeUndefined()
    expect(ec2Model().operation('constructor')).toBeUndefined()
  })
})
