import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { blockBytes } from './format.ts'
import { looksPacked } from './packing-sample.ts'

const noise = () => randomBytes(blockBytes)

test('noise is not worth a try', async () => {
  expect(await looksPacked(noise())).toBe(true)
})

test.each([
  ['text', () => Buffer.alloc(blockBytes, 'a line of text that repeats\n')],
  ['letters by chance', () => noise().map((byte) => 97 + (byte & 15))],
  ['pages of noise that repeat', () => Buffer.alloc(blockBytes, randomBytes(4096))],
  ['an eighth of zeros among noise, wherever', () => noise().fill(0, 200_000, 200_000 + blockBytes / 8)],
  ['what is too short to be sampled', () => randomBytes(1000)],
])('%s is tried', async (_, content) => {
  expect(await looksPacked(Buffer.from(content()))).toBe(false)
})
