import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  blockBytes,
  blocksIn,
  blocksPerLeaf,
  decodeLeaf,
  decodeRoot,
  encodeLeaf,
  encodeRoot,
  hashOf,
  isZeroBlock,
  leafSpanBytes,
  type Root,
  volumeBytesMax,
  zeroBlock,
} from './format.ts'
import { CorruptObject } from './store.ts'

const name = 'f'.repeat(64)
const where = 'a test'

const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const leaves = fc
  .dictionary(fc.integer({ min: 0, max: blocksPerLeaf - 1 }).map(String), hashes, { minKeys: 1, maxKeys: 40 })
  .map((named) => Array.from({ length: blocksPerLeaf }, (_, slot) => named[slot]))
const roots = fc
  .tuple(
    fc.uniqueArray(
      fc.record({ index: fc.nat(300), blockCount: fc.integer({ min: 1, max: blocksPerLeaf }), hash: hashes }),
      {
        selector: (leaf) => leaf.index,
        maxLength: 20,
      },
    ),
    fc.integer({ min: 301 * leafSpanBytes, max: volumeBytesMax }),
  )
  .map(([refs, sizeBytes]): Root => ({ sizeBytes, leaves: refs.sort((a, b) => a.index - b.index) }))

describe('leaf', () => {
  test('decodes to what was encoded, and to nothing else', () => {
    fc.assert(
      fc.property(leaves, (names) => {
        const content = encodeLeaf(names)
        const leaf = decodeLeaf(content, name, where)
        expect(Array.from({ length: blocksPerLeaf }, (_, slot) => leaf.hashAt(slot))).toEqual(names)
        expect([...leaf.hashes()]).toEqual(names.filter((hash) => hash !== undefined))
        expect(leaf.blockCount).toBe([...leaf.hashes()].length)
        expect(content.length).toBe(138 + 32 * leaf.blockCount)
      }),
      { numRuns: 50 },
    )
  })

  test('any accepted content is canonical: encoding it again gives the same bytes', () => {
    fc.assert(
      fc.property(leaves, fc.nat(), fc.integer({ min: 1, max: 255 }), (names, at, change) => {
        const content = encodeLeaf(names)
        content[at % content.length]! ^= change
        let leaf: ReturnType<typeof decodeLeaf>
        try {
          leaf = decodeLeaf(content, name, where)
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptObject)
          return
        }
        expect(encodeLeaf(Array.from({ length: blocksPerLeaf }, (_, slot) => leaf.hashAt(slot))).equals(content)).toBe(
          true,
        )
      }),
      { numRuns: 100 },
    )
  })

  test('names neither nothing, nor zeros, nor too much', () => {
    expect(() => encodeLeaf([undefined])).toThrow(RangeError)
    expect(() => encodeLeaf([hashOf(zeroBlock)])).toThrow(RangeError)
    expect(() => encodeLeaf(Array.from({ length: blocksPerLeaf + 1 }, () => name))).toThrow(RangeError)
    expect(() => encodeLeaf(['not a hash'])).toThrow(RangeError)
  })

  test.each<[string, (content: Buffer) => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['a cut', (content) => content.subarray(0, content.length - 1)],
    ['trailing bytes', (content) => Buffer.concat([content, Buffer.of(0)])],
    ['another magic', (content) => content.fill('KILNROOT', 0, 8)],
    ['another version', (content) => content.fill(2, 9, 10)],
    ['no blocks', (content) => content.subarray(0, 138).fill(0, 10)],
    ['a block of zeros', (content) => Buffer.from(content.fill(hashOf(zeroBlock), 138, 170, 'hex'))],
  ])('with %s is refused', (_, change) => {
    const content = encodeLeaf([name, undefined, 'a'.repeat(64)])
    expect(() => decodeLeaf(change(content), name, where)).toThrow(CorruptObject)
  })
})

describe('root', () => {
  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(roots, (root) => {
        expect(decodeRoot(encodeRoot(root), name, where)).toEqual(root)
      }),
      { numRuns: 50 },
    )
  })

  test('random bytes after a valid beginning are refused or canonical, never a crash', () => {
    fc.assert(
      fc.property(roots, fc.nat(), fc.integer({ min: 1, max: 255 }), (root, at, change) => {
        const content = encodeRoot(root)
        content[at % content.length]! ^= change
        try {
          expect(encodeRoot(decodeRoot(content, name, where)).equals(content)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptObject)
        }
      }),
      { numRuns: 100 },
    )
  })

  const leaf = (index: number, blockCount = 1) => ({ index, blockCount, hash: name })

  test.each<[string, Root]>([
    ['leaves out of order', { sizeBytes: 4 * leafSpanBytes, leaves: [leaf(1), leaf(0)] }],
    ['a leaf twice', { sizeBytes: 4 * leafSpanBytes, leaves: [leaf(1), leaf(1)] }],
    ['a leaf beyond the end', { sizeBytes: leafSpanBytes, leaves: [leaf(1)] }],
    ['an empty leaf', { sizeBytes: leafSpanBytes, leaves: [leaf(0, 0)] }],
    ['more blocks than fit', { sizeBytes: 3 * blockBytes + 1, leaves: [leaf(0, 5)] }],
    ['no size', { sizeBytes: 0, leaves: [] }],
    ['too large a size', { sizeBytes: volumeBytesMax + 1, leaves: [] }],
  ])('with %s is neither written nor read', (_, root) => {
    expect(() => encodeRoot(root)).toThrow(RangeError)
    // The same flaw in bytes that somebody else wrote.
    const valid = { sizeBytes: volumeBytesMax, leaves: root.leaves.map((_, i) => leaf(i)) }
    const content = encodeRoot(valid)
    content.writeBigUInt64BE(BigInt(root.sizeBytes), 10)
    for (const [i, { index, blockCount }] of root.leaves.entries()) {
      content.writeUInt32BE(index, 22 + 38 * i)
      content.writeUInt16BE(blockCount, 26 + 38 * i)
    }
    expect(() => decodeRoot(content, name, where)).toThrow(CorruptObject)
  })

  test.each<[string, (content: Buffer) => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['a cut', (content) => content.subarray(0, content.length - 1)],
    ['trailing bytes', (content) => Buffer.concat([content, Buffer.of(0)])],
    ['another magic', (content) => content.fill('KILNLEAF', 0, 8)],
    ['another version', (content) => content.fill(2, 9, 10)],
  ])('with %s is refused', (_, change) => {
    const content = encodeRoot({ sizeBytes: leafSpanBytes, leaves: [leaf(0)] })
    expect(() => decodeRoot(change(content), name, where)).toThrow(CorruptObject)
  })

  test('of an empty 64 TiB volume takes 22 bytes', () => {
    expect(encodeRoot({ sizeBytes: volumeBytesMax, leaves: [] })).toHaveLength(22)
  })
})

test('blocks are counted up to the padded last one', () => {
  expect([1, blockBytes, blockBytes + 1].map(blocksIn)).toEqual([1, 1, 2])
  expect(isZeroBlock(Buffer.alloc(blockBytes))).toBe(true)
  expect(isZeroBlock(randomBytes(blockBytes))).toBe(false)
})
