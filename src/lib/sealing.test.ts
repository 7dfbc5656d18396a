import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { keyBytes, seal, subKey, unseal, WrongKey } from './sealing.ts'

const key = randomBytes(keyBytes)
const secret = randomBytes(32)

test('what is sealed opens with its key, as what it was sealed', () => {
  const sealed = seal(key, secret, 'a thing')
  expect(unseal(key, sealed, 'a thing')).toEqual(secret)
  expect(sealed.includes(secret)).toBe(false)
  expect(() => unseal(randomBytes(keyBytes), sealed, 'a thing')).toThrow(WrongKey)
  expect(() => unseal(key, sealed, 'another thing')).toThrow(WrongKey)
})

test('no changed byte is taken', () => {
  const sealed = seal(key, secret, 'a thing')
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    expect(() => unseal(key, changed, 'a thing')).toThrow(WrongKey)
  }
  for (let length = 0; length < sealed.length; length++)
    expect(() => unseal(key, sealed.subarray(0, length), 'a thing')).toThrow(WrongKey)
})

test('the same is sealed the same, and anything else with another nonce', () => {
  const sealed = seal(key, secret, 'a thing')
  expect(seal(key, secret, 'a thing')).toEqual(sealed)
  const nonceOf = (bytes: Buffer) => bytes.subarray(1, 13).toString('hex')
  const others = [seal(key, randomBytes(32), 'a thing'), seal(key, secret, 'another thing')]
  for (const other of others) expect(nonceOf(other)).not.toBe(nonceOf(sealed))
})

test('sub-keys are the same for one purpose, and differ between purposes', () => {
  expect(subKey(key, 'disk')).toEqual(subKey(key, 'disk'))
  expect(subKey(key, 'disk')).not.toEqual(subKey(key, 'block'))
  expect(subKey(key, 'disk')).toHaveLength(keyBytes)
})
