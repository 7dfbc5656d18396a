import { createHash } from 'node:crypto'
import { access, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestCloud, type TestCloud } from '../../../test/support/test-cloud.ts'
import { homeAt } from '../../lib/home.ts'
import type { Scope } from '../deps.ts'
import { anonymous, imageService } from './acl.ts'

const account = '111122223333'
const stranger = '444455556666'
const scope: Scope = { accountId: account, region: 'eu-west-1' }
const place = { bucket: 'pictures', key: 'a/b' }

let whole: TestCloud
beforeEach(async () => {
  whole = await openTestCloud()
  await whole.cloud.enter(scope)
  await whole.cloud.buckets.create(scope, place.bucket, { canned: 'private' })
})
afterEach(() => whole.close())

const cloud = () => whole.cloud
const folder = (region = scope.region) => join(homeAt(dirname(whole.deps.volumesDir)).regionsDir, region, 'objects')

/** The names of all contents that lie in the region's store. */
async function files(region?: string): Promise<string[]> {
  const names = await readdir(folder(region), { recursive: true })
  return names.filter((name) => name.includes('/'))
}

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text)
}

async function* broken(): AsyncGenerator<Buffer> {
  yield Buffer.from('half of it')
  throw new Error('the sender went away')
}

const put = (key: string, ...texts: string[]) =>
  cloud().objects.put(account, { ...place, key }, { content: pieces(...texts) })

async function read(key: string, range?: { start: number; end: number }, requester = account): Promise<string> {
  const open = await cloud().objects.open(requester, { ...place, key })
  const found: Buffer[] = []
  for await (const piece of open.read(range)) found.push(piece)
  return Buffer.concat(found).toString()
}

const refusal = (request: Promise<unknown>) =>
  request.then(
    () => 'accepted',
    (error) => error.code ?? error.message,
  )

describe('an object', () => {
  test('is kept with what was said of it, and read in whole and in part', async () => {
    const headers = { 'content-type': 'image/png' }
    const written = await cloud().objects.put(account, place, {
      content: pieces('one ', 'two'),
      headers,
      metadata: { colour: 'grün' },
    })
    const etag = createHash('md5').update('one two').digest('hex')
    expect(written).toMatchObject({ etag, sizeBytes: 7 })
    expect(await cloud().objects.head(account, place)).toEqual(written)
    expect(written).toMatchObject({ headers, metadata: { colour: 'grün' }, region: 'eu-west-1', partCount: null })
    expect([await read('a/b'), await read('a/b', { start: 2, end: 5 })]).toEqual(['one two', 'e t'])
    expect(await files()).toHaveLength(1)
  })

  test('of no bytes takes no room, and can be read', async () => {
    expect((await put('empty')).etag).toBe('d41d8cd98f00b204e9800998ecf8427e')
    expect([await read('empty'), await files()]).toEqual(['', []])
  })

  test('that broke off is not there, nor is anything of it; what was there before still is', async () => {
    expect(await refusal(cloud().objects.put(account, place, { content: broken() }))).toBe('the sender went away')
    expect([await refusal(cloud().objects.head(account, place)), await files()]).toEqual(['NoSuchKey', []])
    await put('a/b', 'first')
    await refusal(cloud().objects.put(account, place, { content: broken() }))
    expect([await read('a/b'), (await files()).length]).toEqual(['first', 1])
  })

  test('is replaced as a whole; of many writers at once the last has it, and one file is left', async () => {
    await put('a/b', 'old')
    await Promise.all(Array.from({ length: 20 }, (_, i) => put('a/b', `version ${i} `, `of ${i}`)))
    expect(await read('a/b')).toMatch(/^version (\d+) of \1$/)
    expect(await files()).toHaveLength(1)
  })

  test('stays for who reads it, though it was deleted meanwhile; then its file goes', async () => {
    await put('a/b', 'still here')
    const open = await cloud().objects.open(account, place)
    await cloud().objects.remove(account, place)
    expect(await refusal(cloud().objects.head(account, place))).toBe('NoSuchKey')
    expect(await files()).toHaveLength(1)
    const found: Buffer[] = []
    for await (const piece of open.read()) found.push(piece)
    expect([Buffer.concat(found).toString(), await files()]).toEqual(['still here', []])
  })

  test('that was opened and not read lets go when it is closed', async () => {
    await put('a/b', 'unread')
    const open = await cloud().objects.open(account, place)
    await put('a/b', 'next')
    expect(await files()).toHaveLength(2)
    await open.close()
    await open.close()
    expect(await files()).toHaveLength(1)
  })

  test('is not written where a condition does not hold', async () => {
    const { etag } = await put('a/b', 'first')
    const conditional = (condition: object) =>
      refusal(cloud().objects.put(account, place, { content: pieces('second'), ...condition }))
    expect(await conditional({ ifNoneMatch: '*' })).toBe('PreconditionFailed')
    expect(await conditional({ ifMatch: 'other' })).toBe('PreconditionFailed')
    expect([await read('a/b'), (await files()).length]).toEqual(['first', 1])
    expect(await conditional({ ifMatch: etag })).toBe('accepted')
    const ten = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        refusal(cloud().objects.put(account, { ...place, key: 'lock' }, { content: pieces(`${i}`), ifNoneMatch: '*' })),
      ),
    )
    expect(ten.filter((result) => result === 'accepted')).toHaveLength(1)
  })
})

describe('copies', () => {
  test('in one region share their bytes until the last of them goes', async () => {
    await put('a/b', 'shared')
    const source = { ...(await cloud().objects.head(account, place)), bucket: place.bucket }
    const copy = { ...place, key: 'copy' }
    await cloud().objects.copy(account, source, copy, { metadata: { of: 'a/b' } })
    expect(await files()).toHaveLength(1)
    await cloud().objects.remove(account, place)
    expect(await read('copy')).toBe('shared')
    await cloud().objects.remove(account, copy)
    expect(await files()).toEqual([])
  })

  test('into another region have their own', async () => {
    const there = { ...scope, region: 'us-east-1' }
    await cloud().enter(there)
    await cloud().buckets.create(there, 'faraway', { canned: 'private' })
    await put('a/b', 'sent')
    const source = { ...(await cloud().objects.head(account, place)), bucket: place.bucket }
    await cloud().objects.copy(account, source, { bucket: 'faraway', key: 'x' }, {})
    await cloud().objects.remove(account, place)
    expect([await files(), (await files('us-east-1')).length]).toEqual([[], 1])
  })
})

describe('who may', () => {
  test('strangers nothing, unless the owner says so', async () => {
    await put('a/b', 'mine')
    const { objects, buckets } = cloud()
    for (const who of [stranger, anonymous, imageService]) {
      expect(await refusal(objects.open(who, place))).toBe('AccessDenied')
      expect(await refusal(objects.head(who, { ...place, key: 'none' }))).toBe('AccessDenied')
      expect(await refusal(objects.put(who, place, { content: pieces('theirs') }))).toBe('AccessDenied')
      expect(await refusal(objects.remove(who, place))).toBe('AccessDenied')
      expect(await refusal(buckets.remove(who, place.bucket))).toBe('AccessDenied')
    }
    const granted = async (canned: 'aws-exec-read' | 'authenticated-read' | 'public-read') => {
      await objects.setAcl(account, place, { canned })
      const asked = [imageService, stranger, anonymous].map((who) => refusal(objects.open(who, place)))
      return (await Promise.all(asked)).map((result) => result === 'accepted')
    }
    expect(await granted('aws-exec-read')).toEqual([true, false, false])
    expect(await granted('authenticated-read')).toEqual([true, true, false])
    expect(await granted('public-read')).toEqual([true, true, true])
  })
})

describe('the store', () => {
  test('keeps no litter: what no row names is swept, what is being written is not', async () => {
    await put('a/b', 'kept')
    let goOn = () => {}
    const waiting = new Promise<void>((resolve) => {
      goOn = resolve
    })
    async function* slowly() {
      yield Buffer.from('begun ')
      await waiting
      yield Buffer.from('ended')
    }
    const writing = cloud().objects.put(account, { ...place, key: 'slow' }, { content: slowly() })
    const litter = whole.deps.objects.newName()
    await whole.deps.objects.write(scope.region, litter, pieces('left by a crash'))
    while ((await files()).length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
    await cloud().objects.sweep()
    expect(await files()).toHaveLength(2)
    goOn()
    await writing
    await cloud().objects.sweep()
    expect([await read('slow'), await read('a/b')]).toEqual(['begun ended', 'kept'])
  })

  test('that is gone is not made anew: nothing is written, and what is read fails', async () => {
    await put('a/b', 'lost')
    await rm(folder(), { recursive: true })
    expect(await refusal(put('other', 'x'))).toBe('ENOENT')
    const open = await cloud().objects.open(account, place)
    expect(await refusal(open.read()[Symbol.asyncIterator]().next())).toContain('is damaged')
    await expect(access(folder())).rejects.toThrow()
  })
})
