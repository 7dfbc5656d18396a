/** Against a real server, qemu-storage-daemon; a server that misbehaves is played by a few lines. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, type ProcessRef, signalProcess, startDetached } from '../../lib/programs.ts'
import { QmpConnection, QmpError, type QmpEvent } from './qmp.ts'

let folder: string
let socketPath: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-qmp-'))
  socketPath = join(folder, 'qmp')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const quick = { clock: systemClock, timeoutMs: 5_000 }

describe('a storage daemon', () => {
  let daemon: ProcessRef

  beforeEach(async () => {
    const args = ['--chardev', `socket,id=qmp,path=${socketPath},server=on,wait=off`, '--monitor', 'chardev=qmp']
    daemon = await startDetached('qemu-storage-daemon', args, { logPath: join(folder, 'log') })
    const reachable = await waitFor(
      systemClock,
      () => QmpConnection.connect(socketPath, quick).catch(() => undefined),
      { everyMs: 10, timeoutMs: 5_000 },
    )
    reachable?.close()
  })
  afterEach(() => endProcess(daemon))

  const addNull = (name: string) => ({ driver: 'null-co', 'node-name': name, size: 1024 })

  it('answers each command with its own answer', async () => {
    const qmp = await QmpConnection.connect(socketPath, quick)
    const [version, , nodes] = await Promise.all([
      qmp.execute<{ qemu: { major: number } }>('query-version'),
      qmp.execute('blockdev-add', addNull('a')),
      qmp.execute<{ 'node-name': string }[]>('query-named-block-nodes'),
    ])
    expect(version.qemu.major).toBeGreaterThanOrEqual(7)
    expect(nodes.map((node) => node['node-name'])).toEqual(['a'])
    qmp.close()
  })

  it('refuses in its own words, and goes on', async () => {
    const qmp = await QmpConnection.connect(socketPath, quick)
    const refusal = qmp.execute('blockdev-del', { 'node-name': 'nothing' })
    await expect(refusal).rejects.toThrow(/^blockdev-del: .*nothing/)
    await expect(refusal).rejects.toBeInstanceOf(QmpError)
    await expect(qmp.execute('no-such-command')).rejects.toMatchObject({ kind: 'CommandNotFound' })
    expect(qmp.isOpen).toBe(true)
    qmp.close()
  })

  it('is heard when it tells of an event', async () => {
    const events: QmpEvent[] = []
    const qmp = await QmpConnection.connect(socketPath, { ...quick, onEvent: (event) => events.push(event) })
    await qmp.execute('blockdev-add', addNull('source'))
    await qmp.execute('blockdev-add', addNull('target'))
    await qmp.execute('blockdev-backup', { 'job-id': 'job', device: 'source', target: 'target', sync: 'full' })
    await vi.waitFor(() => {
      const jobs = events.filter(({ event }) => event === 'JOB_STATUS_CHANGE')
      expect(jobs.map(({ data }) => data.status)).toContain('concluded')
    })
    qmp.close()
  })

  it('lets another connection in once the first was closed', async () => {
    const first = await QmpConnection.connect(socketPath, quick)
    const refused = QmpConnection.connect(socketPath, { ...quick, timeoutMs: 100 })
    await expect(refused).rejects.toThrow('within 100 ms')
    first.close()
    await expect(first.execute('query-version')).rejects.toThrow('was closed')
    const second = await QmpConnection.connect(socketPath, quick)
    expect(second.isOpen).toBe(true)
    second.close()
  })

  it('fails what is under way when it dies', async () => {
    const onClose = vi.fn()
    const qmp = await QmpConnection.connect(socketPath, { ...quick, onClose })
    signalProcess(daemon, 'SIGSTOP')
    const pending = qmp.execute('query-version')
    signalProcess(daemon, 'SIGKILL')
    await expect(pending).rejects.toThrow()
    expect(qmp.isOpen).toBe(false)
    expect(onClose).toHaveBeenCalledTimes(1)
    await expect(qmp.execute('query-version')).rejects.toThrow()
  })

  it('may take its time, but not for ever', async () => {
    const qmp = await QmpConnection.connect(socketPath, quick)
    signalProcess(daemon, 'SIGSTOP')
    await expect(qmp.execute('query-version', {}, 50)).rejects.toThrow('query-version: no answer within 50 ms')
    signalProcess(daemon, 'SIGCONT')
    // The late answer is nobody's: the next command gets its own.
    expect(await qmp.execute('query-named-block-nodes')).toEqual([])
    qmp.close()
  })
})

describe('a server that misbehaves', () => {
  let server: Server | undefined

  async function playing(...lines: string[]): Promise<void> {
    server = createServer((socket) => {
      socket.on('error', () => {})
      for (const line of lines) socket.write(line)
    })
    await new Promise<void>((resolve) => server!.listen(socketPath, resolve))
  }
  afterEach(() => server?.close())

  it.each([
    ['speaks another language', 'HTTP/1.1 400 Bad Request\n', 'what is not JSON'],
    ['says nothing', '', 'greeting: no answer within 100 ms'],
  ])('is given up when it %s', async (_what, line, message) => {
    await playing(...(line ? [line] : []))
    await expect(QmpConnection.connect(socketPath, { clock: systemClock, timeoutMs: 100 })).rejects.toThrow(message)
  })

  it('is understood when its lines come in pieces', async () => {
    const greeting = JSON.stringify({ QMP: { version: {}, capabilities: ['ü'] } })
    await playing(greeting.slice(0, 9), greeting.slice(9), '\r\n{"return":{}, "id":"1"}\r\n{"event":"STOP"}\n')
    const onEvent = vi.fn()
    // The answer comes before the question: it has no waiter, so the negotiation fails and not the parsing.
    await expect(QmpConnection.connect(socketPath, { clock: systemClock, timeoutMs: 100, onEvent })).rejects.toThrow(
      'qmp_capabilities',
    )
    expect(onEvent).toHaveBeenCalledWith({ event: 'STOP', data: {} })
  })

  it('that is not there is an error at once', async () => {
    await expect(QmpConnection.connect(socketPath, quick)).rejects.toThrow('ENOENT')
  })
})
