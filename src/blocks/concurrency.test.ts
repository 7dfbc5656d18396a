import { expect, test } from 'vitest'
import { eachAtOnce } from './concurrency.ts'

const soon = () => new Promise(setImmediate)

test('works on all items, never on more than the limit at once', async () => {
  let [running, most] = [0, 0]
  const done: number[] = []
  await eachAtOnce(Array(50).keys(), 4, async (item) => {
    most = Math.max(most, ++running)
    await soon()
    running--
    done.push(item)
  })
  expect(most).toBe(4)
  expect(done.sort((a, b) => a - b)).toEqual([...Array(50).keys()])
})

test('the first failure stops the rest, and is thrown when nothing runs any more', async () => {
  let [running, started] = [0, 0]
  const working = eachAtOnce(Array(50).keys(), 4, async (item) => {
    running++
    started++
    await soon()
    running--
    if (item === 5) throw new Error('five')
  })
  await expect(working).rejects.toThrow('five')
  expect(running).toBe(0)
  expect(started).toBeLessThan(15)
})

test('a source that fails is a failure, and a source that is left is closed', async () => {
  let closed = false
  async function* items() {
    try {
      yield 1
      yield 2
    } finally {
      closed = true
    }
  }
  const failing = eachAtOnce(items(), 1, () => Promise.reject(new Error('at once')))
  await expect(failing).rejects.toThrow('at once')
  expect(closed).toBe(true)
})

test('a signal stops it', async () => {
  const aborting = new AbortController()
  let started = 0
  const working = eachAtOnce(
    Array(50).keys(),
    2,
    async () => {
      if (++started === 10) aborting.abort(new Error('enough'))
      await soon()
    },
    aborting.signal,
  )
  await expect(working).rejects.toThrow('enough')
  expect(started).toBeLessThan(15)
})
