/** What the namespace tests do over connections: waiting for one, knocking, talking, listening. */
import { connect } from 'node:net'
import { expect } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import type { TestGuest } from './guest.fixture.ts'

export const wait = { everyMs: 20, timeoutMs: 30_000 }

export async function until(holds: () => boolean): Promise<void> {
  expect(await waitFor(systemClock, () => holds() || undefined, wait)).toBe(true)
}

/** Waits until a number has not changed for a while. */
export async function stands(read: () => number): Promise<void> {
  for (let last = -1; last !== read(); ) {
    last = read()
    await systemClock.sleep(500)
  }
}

export async function listens(from: TestGuest, address: string, port: string): Promise<void> {
  const heard = await waitFor(
    systemClock,
    async () => (await from.run('tcp', address, port)) === 'hello' || undefined,
    wait,
  )
  expect(heard).toBe(true)
}

/** Waits until the guest behind a public address accepts. */
export async function publiclyListens(address: string, port: number): Promise<void> {
  expect(await waitFor(systemClock, async () => (await knock(address, port)) === 'open' || undefined, wait)).toBe(true)
}

/** `open` when the connection stays for a while; else the error that ends it. */
export function knock(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, address)
    const give = (answer: string) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(150, () => give('open'))
    socket.on('error', (error: NodeJS.ErrnoException) => give(error.code ?? 'error'))
    socket.on('end', () => give('ended'))
  })
}

export function exchange(socket: ReturnType<typeof connect>): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.off('error', reject)
      expect(data.toString()).toBe('ping')
      resolve()
    })
    socket.write('ping')
  })
}

export async function collect(socket: ReturnType<typeof connect>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Awaits all values of an object at once. */
export async function together(tried: Record<string, Promise<unknown>>): Promise<Record<string, unknown>> {
  return Object.fromEntries(
    await Promise.all(Object.entries(tried).map(async ([name, result]) => [name, await result])),
  )
}
