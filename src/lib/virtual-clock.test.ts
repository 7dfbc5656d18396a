import { readFile } from 'node:fs/promises'
import { beforeEach, expect, test } from 'vitest'
import { VirtualTime } from './virtual-clock.ts'

const startMs = Date.UTC(2026, 5, 1)
const monthMs = 30 * 86_400_000
let time: VirtualTime
let woken: string[]
beforeEach(() => {
  time = new VirtualTime(startMs)
  woken = []
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('whoever waits wakes when time has come to it, in order, and not before', async () => {
  const { clock } = time.process()
  await clock.sleep(0)
  for (const ms of [300, 100, 200, 100]) clock.sleep(ms).then(() => woken.push(`${ms}`))
  time.leap(99)
  await turn()
  expect(woken).toEqual([])
  time.leap(101)
  await turn()
  expect(woken).toEqual(['100', '100', '200'])
  expect(clock.now()).toBe(startMs + 200)
})

test('who looks every second looks once after a month', async () => {
  const { clock } = time.process()
  const stop = new AbortController()
  const looking = (async () => {
    for (;;) {
      await clock.sleep(1000, stop.signal)
      woken.push(new Date(clock.now()).toISOString().slice(0, 10))
    }
  })()
  time.leap(monthMs)
  await turn()
  expect(woken).toEqual(['2026-07-01'])
  time.leap(1000)
  await turn()
  expect(woken).toHaveLength(2)
  stop.abort(new Error('enough'))
  await expect(looking).rejects.toThrow('enough')
})

test('waiting that is broken off, or in a process that was killed, does not end with time', async () => {
  const [one, other] = [time.process(), time.process()]
  const stop = new AbortController()
  const broken = one.clock.sleep(10, stop.signal)
  stop.abort(new Error('no more'))
  await expect(broken).rejects.toThrow('no more')
  await expect(one.clock.sleep(10, stop.signal)).rejects.toThrow('no more')
  one.clock.sleep(10).then(() => woken.push('killed'))
  other.clock.sleep(10).then(() => woken.push('other'))
  one.end()
  time.leap(monthMs)
  await turn()
  expect(woken).toEqual(['other'])
})

test('a clock that is set changes neither how long anybody waits nor how long the host was up', async () => {
  const { clock } = time.process()
  clock.sleep(1000).then(() => woken.push('woken'))
  time.set(startMs + monthMs)
  await turn()
  expect([clock.now(), time.uptime.uptimeMs(), woken]).toEqual([startMs + monthMs, 0, []])
  time.leap(1000)
  await turn()
  expect([clock.now(), time.uptime.uptimeMs(), woken]).toEqual([startMs + monthMs + 1000, 1000, ['woken']])
  expect(() => time.leap(-1)).toThrow('set the clock')
})

test('time settles when work has come to rest that waits and reads files, and goes no further than it must', async () => {
  const { clock } = time.process()
  let isDone = false
  clock.sleep(1000).then(() => woken.push('a second'))
  void (async () => {
    for (let step = 0; step < 5; step++) {
      await clock.sleep(50)
      await readFile(import.meta.filename)
    }
    isDone = true
  })()
  await time.settle({ isQuiet: () => isDone })
  expect(isDone).toBe(true)
  expect(time.now()).toBe(startMs + 250)
  expect(woken).toEqual([])
  await expect(time.settle({ isQuiet: () => false, patienceMs: 20 })).rejects.toThrow('did not come to rest')
  expect(time.now()).toBeLessThan(startMs + 1250)
})
