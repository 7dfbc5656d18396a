import { expect, test } from 'vitest'
import { hashOf } from './format.ts'
import { HashTable } from './hash-table.ts'

const hashes = Array.from({ length: 5000 }, (_, i) => hashOf(Buffer.from(`${i}`)))

test('holds what it was given, as a Map does, beyond its first size', () => {
  const [table, map] = [new HashTable(), new Map<string, number>()]
  for (const [i, hash] of hashes.entries()) {
    table.set(hash, i)
    map.set(hash, i)
    const other = hashes[(i * 7) % (i + 1)]!
    if (i % 3 === 0) expect(table.delete(other)).toBe(map.delete(other))
    if (i % 5 === 0) {
      table.set(other, 4_000_000_000)
      map.set(other, 4_000_000_000)
    }
  }
  expect(table.size).toBe(map.size)
  for (const hash of hashes) expect(table.get(hash)).toBe(map.get(hash))
  expect(new Map(table.entries())).toEqual(map)
})

test('is a set as well', () => {
  const table = new HashTable()
  expect([table.add(hashes[0]!), table.add(hashes[0]!), table.has(hashes[0]!), table.has(hashes[1]!)]).toEqual([
    ...[true, false, true, false],
  ])
  expect([table.delete(hashes[1]!), table.delete(hashes[0]!), table.delete(hashes[0]!), table.size]).toEqual([
    ...[false, true, false, 0],
  ])
  expect(table.add(hashes[0]!)).toBe(true)
})

test('what is deleted while it is gone through does not come any more', () => {
  const table = new HashTable()
  for (const hash of hashes.slice(0, 10)) table.add(hash)
  const seen: string[] = []
  for (const hash of table.keys()) {
    seen.push(hash)
    table.delete(hashes[2 * seen.length - 1]!)
  }
  expect(seen).toEqual([0, 2, 4, 6, 8].map((i) => hashes[i]))
})

test('takes names of objects only', () => {
  expect(() => new HashTable().add('abc')).toThrow('is not an object')
})

test('all names that begin alike, as in one pass of the collector, are still told apart quickly', () => {
  const table = new HashTable()
  const alike = hashes.map((hash) => `0000000000000000${hash.slice(16)}`)
  for (const hash of alike) table.add(hash)
  expect(alike.every((hash) => table.has(hash))).toBe(true)
  expect(hashes.some((hash) => table.has(hash))).toBe(false)
})
