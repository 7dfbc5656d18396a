import { expect, test } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { readBody } from './body.ts'

/** A clock on which no time passes, unless everybody waits too long. */
const clockOf = (isLate: boolean): Clock => ({
  now: () => 0,
  sleep: (_, signal) =>
    isLate
      ? Promise.resolve()
      : new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
})

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

test('a body is read to its end', async () => {
  expect((await readBody(pieces('one ', 'two'), 7, clockOf(false))).toString()).toBe('one two')
})

test('a body that is too large, or breaks off, is refused', async () => {
  await expect(readBody(pieces('one ', 'two'), 6, clockOf(false))).rejects.toMatchObject({
    code: 'RequestEntityTooLarge',
  })
  async function* broken() {
    yield Buffer.from('one')
    throw new Error('gone')
  }
  await expect(readBody(broken(), 6, clockOf(false))).rejects.toMatchObject({ code: 'IncompleteBody' })
})

test('a body that does not come is not waited for', async () => {
  const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }
  await expect(readBody(never, 6, clockOf(true))).rejects.toMatchObject({ code: 'RequestTimeout', status: 408 })
})
