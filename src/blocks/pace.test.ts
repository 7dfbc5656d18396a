import { expect, test } from 'vitest'
import { Pace } from './pace.ts'
import { manualClock } from './testing/manual-clock.ts'

test('bytes move at the rate, those who asked first before the others', async () => {
  const clock = manualClock()
  const pace = new Pace(1000, clock)
  const done: string[] = []
  const take = (name: string, bytes: number) => pace.take(bytes).then(() => done.push(name))
  const all = [take('one', 500), take('two', 1000), take('three', 100)]
  await expect.poll(() => done).toEqual(['one'])
  clock.advance(499)
  await Promise.resolve()
  expect(done).toEqual(['one'])
  clock.advance(1)
  await expect.poll(() => done).toEqual(['one', 'two'])
  clock.advance(1000)
  await Promise.all(all)
  expect(done).toEqual(['one', 'two', 'three'])
})

test('time in which nothing moved is not made up for', async () => {
  const clock = manualClock()
  const pace = new Pace(1000, clock)
  await pace.take(1000)
  clock.advance(60_000)
  await pace.take(1000)
  const late = pace.take(1)
  expect(clock.sleeping).toBe(1)
  clock.advance(1000)
  await late
})

test('without a rate nothing waits; whoever waits can be called off', async () => {
  const clock = manualClock()
  const free = new Pace(null, clock)
  for (let i = 0; i < 3; i++) await free.take(1e12)
  const pace = new Pace(1, clock)
  await pace.take(10)
  const stop = new AbortController()
  const waiting = pace.take(10, stop.signal)
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
})
