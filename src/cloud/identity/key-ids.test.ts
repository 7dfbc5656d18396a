import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accessKeyId, accountOfKeyId } from './key-ids.ts'

const accounts = fc.integer({ min: 0, max: 999_999_999_999 }).map((number) => String(number).padStart(12, '0'))
const entropy = fc.uint8Array({ minLength: 10, maxLength: 10 })

test('an id carries its account, whatever else is in it', () => {
  fc.assert(
    fc.property(accounts, entropy, (account, bytes) => {
      const id = accessKeyId('ASIA', account, bytes)
      expect(id).toMatch(/^ASIA[A-Z2-7]{16}$/)
      expect(accountOfKeyId(id)).toBe(account)
    }),
  )
})

test('two ids of an account differ', () => {
  const made = [1, 2].map((byte) => accessKeyId('AKIA', '123456789012', Buffer.alloc(10, byte)))
  expect(made[0]).not.toBe(made[1])
})

test.each(['', 'AKIA', 'AKIAIOSFODNN7EXAMPLE', 'AIDAQNZGKIQY56JQ7WML', 'AKIAqnzgkiqy56jq7wml'])(
  '%j tells none',
  (id) => {
    expect(accountOfKeyId(id)).toBeUndefined()
  },
)
