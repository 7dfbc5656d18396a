import { expect, test } from 'vitest'
import { KeyedLocks } from './locks.ts'

test('work on one key goes one piece after the other, on another key at once', async () => {
  const locks = new KeyedLocks()
  const order: string[] = []
  const first = Promise.withResolvers<void>()
  const one = locks.hold('a', async () => {
    await first.promise
    order.push('one')
  })
  const two = locks.hold('a', async () => void order.push('two'))
  await locks.hold('b', async () => void order.push('other'))
  first.resolve()
  await Promise.all([one, two])
  expect(order).toEqual(['other', 'one', 'two'])
  expect(locks.isHeld('a')).toBe(false)
})

test('whoever leaves while it waits lets nobody overtake what is being done', async () => {
  const locks = new KeyedLocks()
  const leave = new AbortController()
  const first = Promise.withResolvers<void>()
  const order: string[] = []
  const one = locks.hold('a', async () => {
    await first.promise
    order.push('one')
  })
  const left = locks.hold('a', async () => void order.push('left'), leave.signal)
  leave.abort(new Error('terminated'))
  await expect(left).rejects.toThrow('terminated')
  expect(locks.isHeld('a')).toBe(true)
  const three = locks.hold('a', async () => void order.push('three'))
  first.resolve()
  await Promise.all([one, three])
  expect(order).toEqual(['one', 'three'])
  expect(locks.isHeld('a')).toBe(false)
})

test('work that has begun is not left', async () => {
  const locks = new KeyedLocks()
  const leave = new AbortController()
  const going = locks.hold(
    'a',
    async () => {
      leave.abort(new Error('too late'))
      return 'done'
    },
    leave.signal,
  )
  expect(await going).toBe('done')
})
