import { expect, test } from 'vitest'
import { RequestSlots } from './request-slots.ts'

/** Work that ends when the test says so. */
function pieces() {
  const started: (() => void)[] = []
  return { started, work: () => new Promise<void>((resolve) => started.push(resolve)) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('so many at once, so many waiting, in the order they came, and the next is told to try again', async () => {
  const slots = new RequestSlots({ atOnce: 2, waiting: 1 })
  const { started, work } = pieces()
  const running = [slots.run(work), slots.run(work), slots.run(work)]
  await turn()
  expect(started).toHaveLength(2)
  await expect(slots.run(work)).rejects.toMatchObject({ code: 'RequestThrottledException.AccountThrottled' })
  started[0]!()
  await turn()
  expect(started).toHaveLength(3)
  for (const end of started) end()
  await Promise.all(running)
})

test('work that fails gives its place back', async () => {
  const slots = new RequestSlots({ atOnce: 1, waiting: 0 })
  const failing = slots.run(async () => {
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await slots.run(async () => 'next')).toBe('next')
})
