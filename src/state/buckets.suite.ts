/** What the state promises of buckets and objects: keys in the order of their bytes, on every database. Adopted like `state.suite.ts`. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { State } from './state.ts'

const region = 'eu-west-1'
const acl = '[]'

export function bucketSuite(name: string, open: () => Promise<State>): void {
  describe(`buckets on ${name}`, () => {
    let state: State
    beforeEach(async () => {
      state = await open()
      await state.buckets.insert(bucket('b', 'a-bucket', '1'))
    })
    afterEach(() => state.close())

    let count = 0
    const object = (key: string, bucketId = 'b') => ({
      ...{ id: `object-${count++}`, bucketId, key, ownerId: '1', acl },
      ...{ headers: '{}', metadata: '{}', etag: 'e', checksum: null, partCount: null },
      ...{ sizeBytes: 2 ** 45, modifiedAt: 2 ** 42 },
    })
    const put = (key: string, ...names: string[]) =>
      state.transaction((tx) =>
        tx.objects.put(
          object(key),
          names.map((contentName, seq) => ({ seq, contentName, sizeBytes: 1 })),
        ),
      )
    const range = async (from: string, before: string | null = null, isFromIncluded = true, limit = 100) =>
      (await state.objects.range('b', { from, before, isFromIncluded, limit })).map((row) => row.key)

    test('keys come in the order of their bytes, whatever the language', async () => {
      const keys = [
        'a',
        'A',
        'b',
        'ä',
        'Z',
        '~',
        '_',
        'a b',
        'a/b',
        'é',
        'e',
        '\uffee',
        '😀',
        '-',
        '.',
        '10',
        '9',
        'aa',
      ]
      for (const key of keys) await put(key)
      const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await range('')).toEqual(sorted)
      for (const [i, key] of sorted.entries()) {
        expect(await range(key)).toEqual(sorted.slice(i))
        expect(await range(key, null, false)).toEqual(sorted.slice(i + 1))
        expect(await range('', key)).toEqual(sorted.slice(0, i))
      }
      expect(await range('a', 'b', false, 2)).toEqual(['a b', 'a/b'])
    })

    test('an object takes the place of another of its key, whose contents it tells', async () => {
      expect(await put('k', 'one', 'two')).toEqual([])
      expect((await put('k', 'three')).sort()).toEqual(['one', 'two'])
      const row = (await state.objects.get('b', 'k'))!
      expect([row.sizeBytes, row.modifiedAt]).toEqual([2 ** 45, 2 ** 42])
      expect((await state.objects.contents(row.id)).map((content) => content.contentName)).toEqual(['three'])
      await expect(state.transaction((tx) => tx.objects.put({ ...object('k'), id: row.id }, []))).resolves.toEqual([
        'three',
      ])
      expect(await state.transaction((tx) => tx.objects.remove('b', 'k'))).toEqual([])
      expect(await state.objects.get('b', 'k')).toBeUndefined()
    })

    test('of contents, those are unnamed that no object and no part has', async () => {
      await put('k', 'shared', 'own')
      await put('copy', 'shared')
      await state.multipartUploads.insert(upload('u', 'k', 1))
      await state.transaction((tx) => tx.multipartUploads.putPart(part(1, 'in a part')))
      const all = ['shared', 'own', 'in a part', 'nobodys', 'nobodys']
      expect(await state.objects.unnamed(all)).toEqual(['nobodys'])
      await state.transaction((tx) => tx.objects.remove('b', 'k'))
      expect(await state.objects.unnamed(all)).toEqual(['own', 'nobodys'])
      await state.transaction((tx) => tx.multipartUploads.remove('u'))
      const many = Array.from({ length: 1200 }, (_, i) => `x${i}`)
      expect(await state.objects.unnamed([...many, 'shared'])).toEqual(many)
    })

    test('uploads come by key, then by age; parts by number', async () => {
      for (const [id, key, at] of [
        ['u3', 'b', 1],
        ['u1', 'a', 2],
        ['u2', 'a', 1],
        ['u4', 'ä', 0],
      ] as const)
        await state.multipartUploads.insert(upload(id, key, at))
      const list = async (after: { key: string; createdAt: number; id: string } | null, from = '', before = null) =>
        (await state.multipartUploads.range('b', { from, before, after, limit: 10 })).map((row) => row.id)
      expect(await list(null)).toEqual(['u2', 'u1', 'u3', 'u4'])
      expect(await list({ key: 'a', createdAt: 1, id: 'u2' })).toEqual(['u1', 'u3', 'u4'])
      expect(await list({ key: 'a', createdAt: Number.MAX_SAFE_INTEGER, id: '' })).toEqual(['u3', 'u4'])
      expect(await list(null, 'b')).toEqual(['u3', 'u4'])
      const put = (number: number, name: string | null) =>
        state.transaction((tx) => tx.multipartUploads.putPart({ ...part(number, name), uploadId: 'u1' }))
      expect([await put(10, 'x'), await put(2, null), await put(10, 'y'), await put(2, 'z')]).toEqual([
        [],
        [],
        ['x'],
        [],
      ])
      const numbers = async (afterNumber: number, limit: number) =>
        (await state.multipartUploads.parts('u1', { afterNumber, limit })).map((row) => row.partNumber)
      expect([await numbers(0, 9), await numbers(2, 9), await numbers(0, 1)]).toEqual([[2, 10], [10], [2]])
      expect((await state.transaction((tx) => tx.multipartUploads.remove('u1'))).sort()).toEqual(['y', 'z'])
      expect(await state.multipartUploads.get('u1')).toBeUndefined()
    })

    test('a name is one bucket only; an account sees its own, by name', async () => {
      await expect(state.buckets.insert(bucket('c', 'a-bucket', '2'))).rejects.toThrow()
      for (const own of ['b-2', 'b-1', 'b.3', 'c']) await state.buckets.insert(bucket(own, own, '1'))
      await state.buckets.insert(bucket('other', 'b-0', '2'))
      const list = async (about: object) =>
        (await state.buckets.list('1', { prefix: '', after: '', limit: 10, ...about })).map((row) => row.name)
      expect(await list({})).toEqual(['a-bucket', 'b-1', 'b-2', 'b.3', 'c'])
      expect(await list({ prefix: 'b' })).toEqual(['b-1', 'b-2', 'b.3'])
      expect(await list({ after: 'b-1', limit: 2 })).toEqual(['b-2', 'b.3'])
      expect(await list({ region: 'us-east-1' })).toEqual([])
      expect([await state.buckets.count('1'), await state.buckets.hasObjects('b')]).toEqual([5, false])
      await put('k')
      expect(await state.buckets.hasObjects('b')).toBe(true)
      expect(await state.buckets.regions()).toEqual([region])
    })
  })
}

function bucket(id: string, name: string, accountId: string) {
  return { id, name, accountId, region, acl, createdAt: 1 }
}

function upload(id: string, key: string, createdAt: number) {
  const said = { acl, headers: '{}', metadata: '{}', checksum: null }
  return { id, bucketId: 'b', key, ownerId: '1', createdAt, ...said }
}

function part(partNumber: number, contentName: string | null) {
  return { uploadId: 'u', partNumber, contentName, etag: 'e', sizeBytes: 1, checksum: null, modifiedAt: 1 }
}
