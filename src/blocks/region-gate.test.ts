import { expect, test } from 'vitest'
import { RegionGate, StoreBusy } from './region-gate.ts'
import { manualClock } from './testing/manual-clock.ts'

const waitMs = 1000

function setUp() {
  const clock = manualClock()
  const gate = new RegionGate(clock)
  const events: string[] = []
  /** Work that is inside until it is let go. */
  const enter = (name: string, how: 'shared' | 'alone', signal?: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const work = async () => {
      events.push(`${name} in`)
      await promise
      events.push(`${name} out`)
    }
    const done = how === 'shared' ? gate.shared(work) : gate.alone(work, { waitMs, signal })
    done.catch(() => {})
    return { leave: resolve, done }
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return { clock, gate, events, enter, settled }
}

test('many share it; who wants it alone waits for them, and those who come later wait for him', async () => {
  const { events, enter, settled } = setUp()
  const [a, b] = [enter('a', 'shared'), enter('b', 'shared')]
  const alone = enter('alone', 'alone')
  const late = enter('late', 'shared')
  await settled()
  expect(events).toEqual(['a in', 'b in'])
  a.leave()
  b.leave()
  await settled()
  expect(events).toEqual(['a in', 'b in', 'a out', 'b out', 'alone in'])
  alone.leave()
  await settled()
  late.leave()
  await late.done
  expect(events.slice(5)).toEqual(['alone out', 'late in', 'late out'])
})

test('who is not alone in time gives up, and lets the others in', async () => {
  const { clock, events, enter, settled } = setUp()
  enter('hours', 'shared')
  const alone = enter('alone', 'alone')
  const late = enter('late', 'shared')
  await settled()
  clock.advance(waitMs)
  await expect(alone.done).rejects.toThrow(StoreBusy)
  await settled()
  expect(events).toEqual(['hours in', 'late in'])
  late.leave()
})

test('the signal ends the waiting too', async () => {
  const { events, enter, settled } = setUp()
  enter('hours', 'shared')
  const stop = new AbortController()
  const alone = enter('alone', 'alone', stop.signal)
  stop.abort(new Error('enough'))
  await expect(alone.done).rejects.toThrow('enough')
  enter('late', 'shared')
  await settled()
  expect(events).toEqual(['hours in', 'late in'])
})

test('work that fails opens the gate again, and counts as a visit', async () => {
  const { gate } = setUp()
  const failing = () => Promise.reject(new Error('broken'))
  await expect(gate.shared(failing)).rejects.toThrow('broken')
  await expect(gate.alone(failing, { waitMs })).rejects.toThrow('broken')
  expect(gate.visits).toBe(1)
  expect(await gate.alone(async () => gate.shared.length, { waitMs })).toBe(1)
  expect(await gate.shared(async () => 'in')).toBe('in')
})
