import { expect, test } from 'vitest'
import type { Clock } from '../lib/clock.ts'
import { ProgressMeter } from './progress-meter.ts'

function manualClock(): Clock & { advance(ms: number): void } {
  let nowMs = 1_000_000
  return {
    now: () => nowMs,
    sleep: () => Promise.resolve(),
    advance: (ms) => {
      nowMs += ms
    },
  }
}

test('reports whole percents, four times a second at most, and 100 only at the end', async () => {
  const clock = manualClock()
  const percents: number[] = []
  const meter = new ProgressMeter(1000, { onPercent: (percent) => void percents.push(percent) }, clock)
  for (let i = 0; i < 1000; i++) {
    meter.advance(1)
    clock.advance(1)
  }
  await meter.finish()
  expect(percents).toEqual([0, 25, 50, 75, 100])
})

test('a listener that fails makes the work fail', async () => {
  const meter = new ProgressMeter(10, { onPercent: () => Promise.reject(new Error('lease lost')) }, manualClock())
  meter.advance(1)
  await Promise.resolve()
  await new Promise(setImmediate)
  expect(() => meter.advance(1)).toThrow('lease lost')
  await expect(meter.finish()).rejects.toThrow('lease lost')
})

test('work of no size is done at once', async () => {
  const percents: number[] = []
  const meter = new ProgressMeter(0, { onPercent: (percent) => void percents.push(percent) }, manualClock())
  await meter.finish()
  expect(percents).toEqual([100])
})
