import { connect, createServer, type Server } from 'node:net'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemRandom } from '../../lib/random.ts'
import { allocateLoopback } from '../loopback-addresses.ts'
import { spliceable } from '../splice.ts'
import { PublicListeners } from './public-listeners.ts'

describe('public listeners', () => {
  let said: string[]
  let publicIp: string
  let guest: Server
  let listeners: PublicListeners

  beforeEach(async () => {
    said = []
    const sink = new Writable({
      write: (line, _, done) => {
        said.push(JSON.parse(line.toString()).msg)
        done()
      },
    })
    publicIp = await allocateLoopback('public-listeners.test', new Set(), systemRandom)
    guest = createServer((socket) => {
      // The listeners cut what is still open when they close.
      socket.on('error', () => {})
      socket.end('guest')
    })
    await new Promise<void>((resolve) => guest.listen(0, '127.0.0.1', resolve))
    const { port } = guest.address() as { port: number }
    listeners = new PublicListeners(
      async () => connect({ host: '127.0.0.1', port, ...spliceable }),
      pino({ level: 'warn' }, sink),
    )
  })

  afterEach(async () => {
    await listeners.close()
    await new Promise((resolve) => guest.close(resolve))
  })

  it('say once that a port is taken, name it, and take it when it is free', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(7000, publicIp, resolve))
    const wanted = [7000, 7001].map((port) => ({ publicIp, port, privateIp: '172.31.0.10' }))
    await listeners.reconcile(wanted)
    await listeners.reconcile(wanted)
    expect(said).toEqual([expect.stringContaining(`${publicIp}:7000 is taken`)])
    expect(await read(publicIp, 7001)).toBe('guest')
    await new Promise((resolve) => other.close(resolve))
    await listeners.reconcile(wanted)
    expect(await read(publicIp, 7000)).toBe('guest')
    expect(said).toHaveLength(1)
  })

  it('serve two instances on one port, and follow an address to another instance', async () => {
    const second = await allocateLoopback('public-listeners.test', new Set([publicIp]), systemRandom)
    const endpoint = { publicIp, port: 7000, privateIp: '172.31.0.10' }
    await listeners.reconcile([endpoint, { ...endpoint, publicIp: second }])
    expect([await read(publicIp, 7000), await read(second, 7000)]).toEqual(['guest', 'guest'])
    await listeners.reconcile([{ ...endpoint, privateIp: '172.31.0.11' }])
    expect(said).toEqual([])
    expect(await read(publicIp, 7000)).toBe('guest')
    expect(await read(second, 7000)).toBe('ECONNREFUSED')
  })
})

function read(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    socket.on('data', (data) => resolve(data.toString()))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('close', () => resolve('closed'))
  })
}
