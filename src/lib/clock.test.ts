import { describe, expect, it } from 'vitest'
import { systemClock, within } from './clock.ts'

describe('within', () => {
  const never = new Promise<never>(() => {})

  it('gives what comes in time, value or error', async () => {
    const timing = { what: 'the answer', timeoutMs: 1_000 }
    expect(await within(systemClock, Promise.resolve(42), timing)).toBe(42)
    await expect(within(systemClock, Promise.reject(new Error('refused')), timing)).rejects.toThrow('refused')
  })

  it('names what did not come', async () => {
    const late = within(systemClock, never, { what: 'the answer', timeoutMs: 10 })
    await expect(late).rejects.toThrow('the answer: nothing came of it within 10 ms')
  })

  it('ends early with the reason of its signal', async () => {
    const signal = AbortSignal.abort(new Error('no longer wanted'))
    await expect(within(systemClock, never, { what: 'the answer', timeoutMs: 1_000, signal })).rejects.toThrow(
      'no longer wanted',
    )
  })
})
