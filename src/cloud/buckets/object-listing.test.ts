import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ListedObject } from '../../state/objects.ts'
import { compareKeys, type ListingRequest, listObjects, successorOf } from './object-listing.ts'

/** What the state would say of these keys, and how many rows it was asked for. */
function repositoryOf(keys: readonly string[]) {
  const sorted = [...new Set(keys)].sort(compareKeys)
  const counts = { queries: 0, rows: 0 }
  const about = { etag: 'e', sizeBytes: 1, modifiedAt: 1, ownerId: '1', checksum: null }
  const objects = {
    async range(
      _: string,
      {
        from,
        before,
        isFromIncluded,
        limit,
      }: { from: string; before: string | null; isFromIncluded: boolean; limit: number },
    ): Promise<ListedObject[]> {
      const least = isFromIncluded ? 0 : 1
      const rows = sorted
        .filter((key) => compareKeys(key, from) >= least && (before === null || compareKeys(key, before) < 0))
        .slice(0, limit)
      counts.queries++
      counts.rows += rows.length
      return rows.map((key) => ({ key, ...about }))
    },
  }
  return { repository: { objects } as unknown as Parameters<typeof listObjects>[0], sorted, counts }
}

/** All pages of a listing: keys and common prefixes in the order in which they came. */
async function pages(keys: readonly string[], request: Omit<ListingRequest, 'after' | 'isAfterListed'>) {
  const { repository, sorted, counts } = repositoryOf(keys)
  const found: string[] = []
  for (let after = ''; ; ) {
    const page = await listObjects(repository, 'b', { ...request, after, isAfterListed: true })
    const entries = [...page.objects.map((object) => object.key), ...page.prefixes]
    expect(entries.length).toBeLessThanOrEqual(request.limit)
    found.push(...entries.sort(compareKeys))
    if (page.next === null) return { found, sorted, counts }
    expect(compareKeys(page.next, after)).toBeGreaterThan(0)
    after = page.next
  }
}

/** The same by looking at every key. */
function listedPlainly(sorted: readonly string[], prefix: string, delimiter: string): string[] {
  const entries = sorted
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
      return at < 0 ? key : key.slice(0, at + delimiter.length)
    })
  return [...new Set(entries)].sort(compareKeys)
}

const text = (max: number) =>
  fc
    .array(fc.constantFrom('a', 'b', '/', 'ä', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'), { maxLength: max })
    .map((parts) => parts.join(''))

describe('a listing', () => {
  test('has every key and every common prefix once, in pages of any size', async () => {
    const keys = fc.array(
      text(6).filter((key) => key !== ''),
      { maxLength: 40 },
    )
    const delimiters = fc.constantFrom('', '/', 'a', 'ab')
    await fc.assert(
      fc.asyncProperty(
        keys,
        text(2),
        delimiters,
        fc.integer({ min: 1, max: 7 }),
        async (all, prefix, delimiter, limit) => {
          const { found, sorted } = await pages(all, { prefix, delimiter, limit })
          expect(found).toEqual(listedPlainly(sorted, prefix, delimiter))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('passes over what a common prefix takes together, however much that is', async () => {
    const keys = ['a', 'b', 'c'].flatMap((folder) => Array.from({ length: 5000 }, (_, i) => `${folder}/${i}`))
    const { found, counts } = await pages(keys, { prefix: '', delimiter: '/', limit: 1000 })
    expect(found).toEqual(['a/', 'b/', 'c/'])
    expect(counts.queries).toBeLessThan(10)
    expect(counts.rows).toBeLessThan(1100)
  })
})

test('the successor of a prefix is above all that has it, and below all else that is above', () => {
  fc.assert(
    fc.property(text(3), text(3), (prefix, other) => {
      const successor = successorOf(prefix)
      if (successor === null) return
      expect(compareKeys(successor, prefix + other)).toBeGreaterThan(0)
      const isBetween = compareKeys(other, prefix) > 0 && compareKeys(other, successor) < 0
      expect(isBetween && !other.startsWith(prefix)).toBe(false)
    }),
  )
  expect([successorOf(''), successorOf('\u{10ffff}'), successorOf('a\u{10ffff}')]).toEqual([null, null, 'b'])
})
