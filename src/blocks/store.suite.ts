/**
 * What every store driver must do. A driver adopts it in four lines:
 *
 *     storeSuite('local folder', async () => {
 *       const directory = await temporaryFolder()
 *       return { store: await open(directory), reopen: () => open(directory), damage: … }
 *     })
 */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { contentBytesMax, hashOf } from './format.ts'
import { type BlockStore, CorruptObject, type Hash, MissingObject, type ObjectKind, objectKinds } from './store.ts'
import { patternBlock, wordyBlock } from './testing/stores.ts'

export interface StoreUnderTest {
  store: BlockStore
  /** The same store as another process would find it. */
  reopen(): Promise<BlockStore>
  /** Replaces what lies in the store for an object, behind the driver's back. */
  damage(kind: ObjectKind, hash: Hash, change: (encoded: Buffer) => Buffer): Promise<void>
}

async function collect(hashes: AsyncIterable<Hash>): Promise<Hash[]> {
  const collected: Hash[] = []
  for await (const hash of hashes) collected.push(hash)
  return collected.sort()
}

export function storeSuite(name: string, setUp: () => Promise<StoreUnderTest>): void {
  describe(`store: ${name}`, () => {
    test('gives back what was written, packed or not, here and after reopening', async () => {
      const { store, reopen } = await setUp()
      const contents = [patternBlock('text'), randomBytes(contentBytesMax.block)]
      for (const content of contents) expect(await store.write('block', hashOf(content), content)).toBeGreaterThan(0)
      await store.commit()
      for (const reader of [store, await reopen()])
        for (const content of contents) {
          expect(await reader.has('block', hashOf(content))).toBe(true)
          expect((await reader.read('block', hashOf(content))).equals(content)).toBe(true)
        }
    })

    test('packs what packs well and stores the rest as it is', async () => {
      const { store } = await setUp()
      const [dense, loose] = [randomBytes(contentBytesMax.block), patternBlock('text')]
      expect(await store.write('block', hashOf(dense), dense)).toBe(contentBytesMax.block + 1)
      const packedBytes = await store.write('block', hashOf(loose), loose)
      expect(packedBytes).toBeLessThan(1000)
      expect(await store.storedBytes('block', hashOf(loose))).toBe(packedBytes)
    })

    test('stores an object once, also when it comes many times at once', async () => {
      const { store } = await setUp()
      const content = patternBlock('once')
      const written = await Promise.all(Array.from({ length: 8 }, () => store.write('block', hashOf(content), content)))
      expect(written.filter((bytes) => bytes > 0)).toHaveLength(1)
      expect(await store.write('block', hashOf(content), content)).toBe(0)
    })

    test('keeps kinds apart and lists each', async () => {
      const { store } = await setUp()
      const contents = Array.from({ length: 5 }, (_, i) => Buffer.from(`content ${i}`))
      for (const content of contents) await store.write('leaf', hashOf(content), content)
      const [first] = contents as [Buffer]
      await store.write('root', hashOf(first), first)
      expect(await collect(store.list('leaf'))).toEqual(contents.map(hashOf).sort())
      expect(await collect(store.list('root'))).toEqual([hashOf(first)])
      expect(await collect(store.list('block'))).toEqual([])
    })

    test.each(objectKinds)('says that a %s is missing', async (kind) => {
      const { store } = await setUp()
      const hash = hashOf(Buffer.from('nobody wrote this'))
      expect(await store.has(kind, hash)).toBe(false)
      await expect(store.read(kind, hash)).rejects.toThrow(MissingObject)
      await expect(store.readEncoded(kind, hash)).rejects.toThrow(MissingObject)
      await expect(store.storedBytes(kind, hash)).rejects.toThrow(MissingObject)
    })

    test.each<[string, (encoded: Buffer) => Buffer]>([
      ['a flipped bit in it', (encoded) => flipped(encoded, Math.floor(encoded.length / 2))],
      ['an unknown codec', (encoded) => flipped(encoded, 0)],
      ['its end cut off', (encoded) => encoded.subarray(0, encoded.length - 1)],
      ['something after its end', (encoded) => Buffer.concat([encoded, Buffer.from('more')])],
      ['nothing in it', () => Buffer.alloc(0)],
      ['a codec and nothing else', (encoded) => encoded.subarray(0, 1)],
      ['far too much in it', () => Buffer.alloc(contentBytesMax.block * 3)],
    ])('never serves an object with %s', async (_, change) => {
      const { store, damage } = await setUp()
      for (const content of [patternBlock('packed'), randomBytes(contentBytesMax.block)]) {
        await store.write('block', hashOf(content), content)
        await damage('block', hashOf(content), change)
        await expect(store.read('block', hashOf(content))).rejects.toThrow(CorruptObject)
        await expect(store.readEncoded('block', hashOf(content))).rejects.toThrow(CorruptObject)
      }
    })

    test('never serves an intact object under another name', async () => {
      const { store, damage } = await setUp()
      const [one, other] = [patternBlock('one'), patternBlock('other')]
      for (const content of [one, other]) await store.write('block', hashOf(content), content)
      const encoded = await store.readEncoded('block', hashOf(other))
      await damage('block', hashOf(one), () => encoded)
      await expect(store.read('block', hashOf(one))).rejects.toThrow(CorruptObject)
    })

    test('takes over what another store has encoded', async () => {
      const [source, target] = [await setUp(), await setUp()]
      const content = patternBlock('moved')
      const hash = hashOf(content)
      const bytes = await source.store.write('block', hash, content)
      const encoded = await source.store.readEncoded('block', hash)
      expect(await target.store.writeEncoded('block', hash, encoded)).toBe(bytes)
      expect(await target.store.writeEncoded('block', hash, encoded)).toBe(0)
      expect((await target.store.read('block', hash)).equals(content)).toBe(true)
    })

    test('packs harder what is there, and only when that is smaller', async () => {
      const { store, reopen } = await setUp()
      const [text, dense] = [wordyBlock('line'), randomBytes(contentBytesMax.block)]
      const hash = hashOf(text)
      const quickBytes = await store.write('block', hash, text)
      await store.write('block', hashOf(dense), dense)
      await store.commit()
      const saved = await store.repack('block', hash)
      expect(saved).toBeGreaterThan(quickBytes / 20)
      expect(await store.storedBytes('block', hash)).toBe(quickBytes - saved)
      expect(await store.repack('block', hash)).toBe(0)
      expect(await store.repack('block', hashOf(dense))).toBe(0)
      for (const reader of [store, await reopen()]) expect((await reader.read('block', hash)).equals(text)).toBe(true)
    })

    test('packs nothing harder that is damaged or missing', async () => {
      const { store, damage } = await setUp()
      const text = wordyBlock('line')
      const hash = hashOf(text)
      await expect(store.repack('block', hash)).rejects.toThrow(MissingObject)
      const bytes = await store.write('block', hash, text)
      await damage('block', hash, (encoded) => flipped(encoded, encoded.length - 20))
      await expect(store.repack('block', hash)).rejects.toThrow(CorruptObject)
      expect(await store.storedBytes('block', hash)).toBe(bytes)
    })

    test('removes an object, tells what it took, and keeps the others', async () => {
      const { store } = await setUp()
      const [gone, kept] = [patternBlock('gone'), patternBlock('kept')]
      for (const content of [gone, kept]) await store.write('block', hashOf(content), content)
      const bytes = await store.storedBytes('block', hashOf(gone))
      expect(await store.remove('block', hashOf(gone))).toBe(bytes)
      expect(await store.remove('block', hashOf(gone))).toBe(0)
      expect(await store.has('block', hashOf(gone))).toBe(false)
      expect(await store.changedAtMs('block', hashOf(gone))).toBeUndefined()
      expect(await store.changedAtMs('block', hashOf(kept))).toBeGreaterThan(0)
      await store.read('block', hashOf(kept))
      expect(await store.write('block', hashOf(gone), gone)).toBe(bytes)
    })

    test('lists the objects whose names begin with two digits', async () => {
      const { store } = await setUp()
      const hashes = Array.from({ length: 30 }, (_, i) => patternBlock(`${i}`)).map((content) => {
        return { content, hash: hashOf(content) }
      })
      for (const { content, hash } of hashes) await store.write('block', hash, content)
      const digits = hashes[0]!.hash.slice(0, 2)
      const listed: Hash[] = []
      for await (const hash of store.list('block', digits)) listed.push(hash)
      const alike = hashes.map(({ hash }) => hash).filter((hash) => hash.startsWith(digits))
      expect(listed.sort()).toEqual(alike.sort())
      for await (const hash of store.list('leaf', digits)) expect.unreachable(hash)
    })

    test('keeps a damaged object aside, serves it no more, and has a gap until it is back', async () => {
      const { store, damage } = await setUp()
      const content = patternBlock('hurt')
      const hash = hashOf(content)
      await store.write('block', hash, content)
      expect(await store.hasGaps()).toBe(false)
      await damage('block', hash, (encoded) => flipped(encoded, 20))
      await store.quarantine('block', hash)
      await expect(store.read('block', hash)).rejects.toThrow(MissingObject)
      expect(await store.quarantined()).toEqual([{ kind: 'block', hash }])
      expect(await store.hasGaps()).toBe(true)
      await store.write('block', hash, content)
      expect(await store.hasGaps()).toBe(false)
      expect(await store.forgetQuarantined('block', hash)).toBe(await store.storedBytes('block', hash))
      expect(await store.quarantined()).toEqual([])
    })

    test('notes an object that is missing as a gap', async () => {
      const { store, reopen } = await setUp()
      const hash = hashOf(patternBlock('never there'))
      await store.quarantine('leaf', hash)
      const again = await reopen()
      expect(await again.quarantined()).toEqual([{ kind: 'leaf', hash }])
      expect(await again.hasGaps()).toBe(true)
      expect(await again.forgetQuarantined('leaf', hash)).toBe(0)
      expect(await again.hasGaps()).toBe(false)
    })

    test.each(['', '../../etc/passwd', 'A'.repeat(64), 'a'.repeat(63)])('refuses "%s" as a name', async (hash) => {
      const { store } = await setUp()
      await expect(store.read('block', hash)).rejects.toThrow(RangeError)
      await expect(store.write('block', hash, Buffer.from('x'))).rejects.toThrow(RangeError)
    })
  })
}

function flipped(encoded: Buffer, at: number): Buffer {
  const changed = Buffer.from(encoded)
  changed[at]! ^= 0x10
  return changed
}
