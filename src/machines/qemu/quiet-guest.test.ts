/** Guests that hold still, and guests that do not do as they should: the agent is played, on a real socket. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { QmpConnection } from './qmp.ts'
import { QuietGuest } from './quiet-guest.ts'

/** Stands still unless a test moves it, and waits for ever, except for what the test says nothing will come of. */
let nowMs: number
let inVainMs: number[]
const clock: Clock = {
  now: () => nowMs,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = inVainMs.includes(ms) ? setTimeout(resolve, 20) : undefined
      signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        reject(signal.reason)
      })
    }),
}
const [syncMs, freezeMs, thawMs] = [3000, 10_000, 5000]

type Request = { execute: string; arguments?: { id?: number } }
/** What the agent sends for a request; null sends nothing. */
type Agent = (request: Request) => Buffer | string | null

let folder: string
let servers: Server[]
let asked: string[]
let isHeld: boolean
let frontendOpen: boolean
let guest: QuietGuest
let qmp: QmpConnection

/** As qemu-ga does it. */
const wellBehaved: Agent = ({ execute, arguments: args }) => {
  if (execute === 'guest-sync-delimited') {
    return Buffer.concat([Buffer.of(0xff), Buffer.from(`${JSON.stringify({ return: args!.id })}\n`)])
  }
  if (execute === 'guest-fsfreeze-status') return answer(isHeld ? 'frozen' : 'thawed')
  const change = execute === 'guest-fsfreeze-freeze'
  if (!change && execute !== 'guest-fsfreeze-thaw') return `${JSON.stringify({ error: { desc: 'unknown' } })}\n`
  isHeld = change
  return answer(1)
}

const answer = (result: unknown) => `${JSON.stringify({ return: result })}\n`

function listen(name: string, serve: (socket: Socket) => void): Promise<void> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      serve(socket)
    })
    servers.push(server)
    server.listen(join(folder, name), resolve)
  })
}

function eachLine(socket: Socket, respond: (line: string) => Buffer | string | null): void {
  let unread = ''
  socket.on('data', (bytes: Buffer) => {
    unread += bytes.toString('latin1').replaceAll('\xff', '')
    const lines = unread.split('\n')
    unread = lines.pop()!
    for (const line of lines) {
      const reply = respond(line)
      if (reply !== null) socket.write(reply)
    }
  })
}

const agentIs = (agent: Agent) =>
  listen('agent', (socket) =>
    eachLine(socket, (line) => {
      const request = JSON.parse(line) as Request
      asked.push(request.execute.replace('guest-', ''))
      return agent(request)
    }),
  )

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-quiet-'))
  ;[servers, asked, isHeld, frontendOpen] = [[], [], false, true]
  ;[nowMs, inVainMs] = [1_700_000_000_000, []]
  await listen('qmp', (socket) => {
    socket.write('{"QMP":{}}\n')
    eachLine(socket, (line) => {
      const { execute, id } = JSON.parse(line)
      const chardevs = [{ label: 'agent', 'frontend-open': frontendOpen }]
      const result = execute === 'query-chardev' ? chardevs : { status: 'running' }
      return `${JSON.stringify({ return: result, id })}\n`
    })
  })
  qmp = await QmpConnection.connect(join(folder, 'qmp'), { clock: clock, timeoutMs: 60_000 })
  guest = new QuietGuest(join(folder, 'agent'), clock, silentLog)
})
afterEach(async () => {
  qmp.close()
  for (const server of servers) server.close()
  await rm(folder, { recursive: true, force: true })
})

/** Whether the guest held still while the work was done, and what the work saw. */
async function during(): Promise<{ quiesced: boolean; held: boolean[] }> {
  const held: boolean[] = []
  const quiesced = await guest.during(qmp, async () => void held.push(isHeld))
  return { quiesced, held }
}

it('holds still for the work and goes on after it', async () => {
  await agentIs(wellBehaved)
  expect(await during()).toEqual({ quiesced: true, held: [true] })
  expect(isHeld).toBe(false)
  expect(asked).toEqual(['sync-delimited', 'fsfreeze-freeze', 'fsfreeze-thaw'])
  expect(guest.isDue).toBe(false)
})

it('goes on when the work fails, too', async () => {
  await agentIs(wellBehaved)
  const failing = guest.during(qmp, async () => {
    throw new Error('the disk is gone')
  })
  await expect(failing).rejects.toThrow('the disk is gone')
  expect(isHeld).toBe(false)
})

it('is not asked where no program in it has the port open', async () => {
  await agentIs(wellBehaved)
  frontendOpen = false
  expect(await during()).toEqual({ quiesced: false, held: [false] })
  expect(asked).toEqual([])
})

const sync = (request: Request) => (request.execute === 'guest-sync-delimited' ? wellBehaved(request) : undefined)

it.each<[what: string, agent: Agent]>([
  ['says nothing', () => null],
  ['answers somebody else', ({ execute }) => (execute === 'guest-sync-delimited' ? `\n${answer(1)}` : null)],
  ['sends without end', () => Buffer.alloc(256 * 1024, 'x')],
  ['sends what is not JSON', () => Buffer.from([0xff, 0x7b, 0x0a, 0xff, 0x0a])],
  ['refuses', (request) => sync(request) ?? '{"error":{"desc":"\\u001b[2J no"}}\n'],
  ['answers nonsense', (request) => sync(request) ?? 'null\n'],
  [
    'never comes to an end with it',
    (request) => sync(request) ?? (request.execute.endsWith('status') ? wellBehaved(request) : null),
  ],
])('is left as it is when its agent %s, and the work is done', async (what, agent) => {
  await agentIs(agent)
  inVainMs = /says nothing|somebody else|not JSON/.test(what) ? [syncMs] : [freezeMs]
  expect(await during()).toEqual({ quiesced: false, held: [false] })
})

it('goes on although it held still only when nobody waited any more', async () => {
  let late = true
  await agentIs((request) => {
    const reply = wellBehaved(request)
    if (request.execute !== 'guest-fsfreeze-freeze' || !late) return reply
    late = false
    return null
  })
  inVainMs = [freezeMs]
  expect(await during()).toEqual({ quiesced: false, held: [false] })
  expect(isHeld).toBe(false)
  expect(guest.isDue).toBe(false)
})

it('is asked again to go on until it says so, but not more and more often', async () => {
  let deaf = true
  await agentIs((request) => (request.execute === 'guest-fsfreeze-thaw' && deaf ? null : wellBehaved(request)))
  inVainMs = [thawMs]
  expect(await during()).toEqual({ quiesced: true, held: [true] })
  for (const pauseMs of [5000, 10_000, 20_000]) {
    expect([isHeld, guest.isDue]).toEqual([true, true])
    await guest.upkeep(qmp).catch(() => {})
    nowMs += pauseMs - 1
    expect([isHeld, guest.isDue]).toEqual([true, false])
    nowMs += 1
  }
  deaf = false
  await guest.upkeep(qmp)
  expect([isHeld, guest.isDue]).toEqual([false, false])
})

it('of a daemon that was killed meanwhile is let go on by the next one', async () => {
  await agentIs(wellBehaved)
  isHeld = true
  guest.suspectHeld()
  await guest.upkeep(qmp)
  expect(isHeld).toBe(false)
  expect(asked).toEqual(['sync-delimited', 'fsfreeze-status', 'fsfreeze-thaw'])
})

it('that holds still by its own wish is left alone', async () => {
  await agentIs(wellBehaved)
  guest.suspectHeld()
  await guest.upkeep(qmp)
  expect(asked).toEqual(['sync-delimited', 'fsfreeze-status'])
  expect(guest.isDue).toBe(false)
})
