import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GuestOrigin } from '../../lib/guest-origin.ts'
import { account, authorization, running, start } from '../testing/http-edge.ts'
import type { Guest } from './guests.ts'

const origin = { vpcId: 'vpc-1', sourceIp: '172.31.0.10' }
const other = '999999999999'

let base: string
let guests: Map<string, Guest>
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'kiln-guests-'))
  guests = new Map([['vpc-1 172.31.0.10', { instanceId: 'i-1', accountId: account }]])
})
afterEach(() => rm(base, { recursive: true }))

function startForGuests(options: Parameters<typeof start>[0] = {}) {
  const at = async ({ vpcId, sourceIp }: GuestOrigin) => guests.get(`${vpcId} ${sourceIp}`) ?? null
  const handlers = { DescribeRegions: async () => ({ Regions: [] }) }
  return start({ handlers, ...options, guests: { socketPath: join(base, 'guests'), at } })
}

/** Sends what a relay says, then what the guest does; everything that comes back until the server closes. */
async function say(first: string, bytes: string): Promise<string> {
  const socket = door()
  socket.write(first + bytes)
  return textOf(socket)
}

function door(): Socket {
  return connect({ path: join(base, 'guests'), allowHalfOpen: true }).on('error', () => {})
}

function textOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
  })
}

const line = (from: object) => `${JSON.stringify(from)}\n`
const host = '169.254.169.254:4566'

function request(method: string, path: string, headers: Record<string, string> = {}): string {
  const all = { Host: host, Connection: 'close', ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

async function ask(method: string, path: string, headers: Record<string, string> = {}) {
  const text = await say(line(origin), request(method, path, headers))
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(text) ?? []
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? /"__type":"([^"]*)"/.exec(text)?.[1]
  return { status: Number(status), code, text }
}

const signedBy = (accessKeyId: string, service = 'ec2') => ({
  Authorization: authorization(service).replace(account, accessKeyId),
})

describe('a guest', () => {
  test('asks as its owner, and its instance stands in the log', async () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (text: string) => void lines.push(text) })
    await startForGuests({ log })
    expect(await ask('GET', '/?Action=DescribeRegions', signedBy(account))).toMatchObject({ status: 200 })
    expect(JSON.parse(lines[0]!)).toMatchObject({ instanceId: 'i-1', accountId: account, action: 'DescribeRegions' })
  })

  test.each(['ec2', 'sts'])('is not taken for anybody else by %s', async (service) => {
    await startForGuests()
    for (const key of [other, '000000000000', 'AKIAEXAMPLE']) {
      const { status, code, text } = await ask('GET', '/?Action=DescribeRegions', signedBy(key, service))
      expect([key, status, code]).toEqual([key, 401, 'AuthFailure'])
      expect(text).toContain(`i-1 must be signed with a key of its account: the access key id ${account}.`)
    }
    const presigned = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${other}%2F20260101%2Feu-west-1%2F${service}%2Faws4_request`
    expect(await ask('GET', `/?Action=DescribeRegions&${presigned}`)).toMatchObject({ code: 'AuthFailure' })
    expect(await ask('GET', '/?Action=DescribeRegions')).toMatchObject({ code: 'MissingAuthenticationToken' })
  })

  test('of the default account may use any key that is no account', async () => {
    guests.set('vpc-1 172.31.0.10', { instanceId: 'i-1', accountId: '000000000000' })
    await startForGuests()
    for (const key of ['AKIAEXAMPLE', '000000000000']) {
      expect(await ask('GET', '/?Action=DescribeRegions', signedBy(key))).toMatchObject({ status: 200 })
    }
    expect(await ask('GET', '/?Action=DescribeRegions', signedBy(account))).toMatchObject({ code: 'AuthFailure' })
  })

  test('is known by its address alone, whatever its headers say', async () => {
    guests.set('vpc-2 172.31.0.20', { instanceId: 'i-2', accountId: other })
    await startForGuests()
    const lies = { 'x-kiln-vpc': 'vpc-2', 'x-kiln-source-ip': '172.31.0.20', 'x-forwarded-for': '172.31.0.20' }
    expect(await ask('GET', '/?Action=DescribeRegions', { ...lies, ...signedBy(other) })).toMatchObject({
      code: 'AuthFailure',
    })
    // A second line is no line of the relay's any more.
    const twice = await say(line(origin), line({ vpcId: 'vpc-2', sourceIp: '172.31.0.20' }))
    expect(twice).toMatch(/^HTTP\/1\.1 400 /)
    // And a request within a body is a body.
    const inner = request('GET', '/?Action=DescribeRegions', signedBy(other))
    const head = { ...signedBy(account), 'content-type': 'application/x-www-form-urlencoded' }
    const chunks = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
    const bodies: [Record<string, string>, string][] = [
      [{ 'Content-Length': `${inner.length}` }, inner],
      [{ 'Transfer-Encoding': 'chunked' }, chunks],
    ]
    for (const [length, body] of bodies) {
      const text = await say(line(origin), request('POST', '/', { ...head, ...length }) + body)
      expect(text.match(/HTTP\/1\.1 \d+/g)).toHaveLength(1)
    }
    const both = { ...head, 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }
    expect(await say(line(origin), `${request('POST', '/', both)}0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('whose address is nobody’s, or another’s by now, is asked anew with each request', async () => {
    await startForGuests()
    const socket = door()
    const text = textOf(socket)
    const again = request('GET', '/?Action=DescribeRegions', { ...signedBy(account), Connection: 'keep-alive' })
    socket.write(line(origin) + again)
    await new Promise((resolve) => socket.once('data', resolve))
    guests.set('vpc-1 172.31.0.10', { instanceId: 'i-2', accountId: other })
    socket.write(again)
    await new Promise((resolve) => socket.once('data', resolve))
    guests.clear()
    socket.end(request('GET', '/?Action=DescribeRegions', signedBy(account)))
    expect((await text).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 403'])
  })

  test('gets the health of this Kiln, and none of its control requests', async () => {
    await startForGuests()
    expect((await ask('GET', '/_kiln/health')).text).toContain('{"status":"ready"}')
    const control = [
      ['GET', '/_kiln/status'],
      ['POST', '/_kiln/health'],
      ['GET', '/_kiln/keys'],
      ['POST', '/_kiln/keys?account=1'],
      ['PUT', '/_kiln/uploads/1'],
      ['GET', '/_kiln/health/../status'],
    ] as const
    for (const [method, path] of control) {
      const answer = await ask(method, path, { 'x-kiln-token': 'any' })
      expect([path, answer.status, answer.code]).toEqual([path, 403, 'UnauthorizedOperation'])
    }
  })

  test.each([
    'localhost',
    '127.0.0.1:4566',
    '169.254.169.254:80',
    'bucket.169.254.169.254:4566',
    'bucket.s3.localhost',
  ])('finds the API under its one name, and not as %s', async (name) => {
    await startForGuests()
    const answer = await ask('GET', '/_kiln/health', { Host: name })
    expect([answer.status, answer.code]).toEqual([403, 'InvalidHostHeader'])
  })

  test('proves in verify mode whose key it has, as everybody', async () => {
    const lookupKey = async () => ({ secret: 'right', accountId: other })
    await startForGuests({ auth: { mode: 'verify', lookupKey } })
    expect(await ask('GET', '/?Action=DescribeRegions', signedBy(account))).toMatchObject({
      code: 'IncompleteSignature',
    })
    expect(await ask('GET', '/_kiln/status')).toMatchObject({ code: 'UnauthorizedOperation' })
  })
})

describe('the way in for guests', () => {
  test('is no way in for who does not say which guest it is', async () => {
    await startForGuests()
    expect(await say('', request('GET', '/_kiln/health'))).toBe('')
    expect(await say('{}\n', request('GET', '/_kiln/health'))).toBe('')
    expect(await say(`${'x'.repeat(5000)}\n`, '')).toBe('')
  })

  test('is closed to who says nothing more', async () => {
    await startForGuests({ timeouts: { stalledMs: 200 } })
    expect(await say(line(origin), 'GET /_kiln/health HTTP/1.1\r\nHost')).toBe('')
  })

  // The server looks for such connections every five seconds.
  test('is closed to who takes longer over its headers than anybody may, though it never falls silent', async () => {
    await startForGuests({ timeouts: { headersMs: 300, stalledMs: 2000 } })
    const socket = door()
    socket.write(`${line(origin)}GET /_kiln/health HTTP/1.1\r\n`)
    const trickle = setInterval(() => socket.write('x: y\r\n'), 100)
    const text = await textOf(socket)
    clearInterval(trickle)
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('gives the name that guests use to nobody else', async () => {
    await startForGuests()
    const socket = connect(running!.port, '127.0.0.1')
    socket.write(request('GET', '/_kiln/health'))
    expect(await textOf(socket)).toContain('<Code>InvalidHostHeader</Code>')
  })

  test('closes with the server, and cuts what does not end', async () => {
    let begun = () => {}
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    const never = () => new Promise<never>(() => begun())
    await startForGuests({ handlers: { DescribeRegions: never } })
    const idle = textOf(door())
    const stuck = say(line(origin), request('GET', '/?Action=DescribeRegions', signedBy(account)))
    await started
    await running!.close(100)
    expect(await Promise.all([idle, stuck])).toEqual(['', ''])
    expect(await say(line(origin), request('GET', '/_kiln/health'))).toBe('')
  })
})
