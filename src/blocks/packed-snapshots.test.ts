import { createHash, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import { beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { PieceReader, StreamEnded } from '../lib/piece-reader.ts'
import { UnusableImage } from '../lib/unusable-image.ts'
import { blockBytes } from './format.ts'
import type { LocalStore } from './local-store.ts'
import { packSnapshots, unpackSnapshots } from './packed-snapshots.ts'
import type { UnpackedSnapshot } from './ports.ts'
import { blockAccess } from './sealed-block.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { type Hash, objectKinds } from './store.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const gib = 1024 ** 3
const noise = randomBytes(blockBytes)
const first = new Map([0, 1, 1024].map((place) => [place, patternBlock(`block ${place % 1024}`)]))
const second = new Map([
  [5, patternBlock('block 1')],
  [2047, noise],
])
const facts = [
  { sizeBytes: gib, blockCount: 3 },
  { sizeBytes: gib, blockCount: 2 },
]

let source: LocalStore
let roots: Hash[]
let stream: Buffer
beforeEach(async () => {
  source = await openStore(await temporaryFolder())
  roots = [await putSnapshot(source, gib, first), await putSnapshot(source, gib, second)]
  stream = await packed(roots.map((root) => ({ root, sealKey: null })))
})

async function packed(snapshots: { root: Hash; sealKey: Buffer | null }[]): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of packSnapshots(source, snapshots, {}, systemClock)) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function* inPieces(content: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes)
}

async function unpacked(content: Buffer, about: { sealKey?: Buffer; snapshots?: typeof facts } = {}) {
  const store = await openStore(await temporaryFolder())
  const made: UnpackedSnapshot[] = []
  const reader = new PieceReader(inPieces(content, 70_001))
  const { sealKey = null, snapshots = facts } = about
  const onSnapshot = async (_: number, snapshot: UnpackedSnapshot) => void made.push(snapshot)
  const done = unpackSnapshots({ store, reader, snapshots, sealKey, onSnapshot }, {}, systemClock)
  return { store, made, done, reader }
}

async function contentOf(store: LocalStore, root: Hash, sealKey: Buffer | null): Promise<Map<number, Buffer>> {
  const { leaves, sizeBytes } = await readRoot(store, root)
  const blocks = new Map<number, Buffer>()
  for (const ref of leaves) {
    const leaf = await readLeaf(store, ref, sizeBytes)
    for (let slot = 0; slot < 1024; slot++) {
      const name = leaf.hashAt(slot)
      if (name) blocks.set(ref.index * 1024 + slot, await blockAccess(sealKey).read(store, name))
    }
  }
  return blocks
}

const record = (kind: number, index: number, hash: Hash, payload?: Buffer, length = payload?.length ?? 0) => {
  const head = Buffer.alloc(payload ? 41 : 37)
  head.writeUInt8(kind)
  head.writeUInt32BE(index, 1)
  head.write(hash, 5, 'hex')
  if (payload) head.writeUInt32BE(length, 37)
  return Buffer.concat([head, payload ?? Buffer.alloc(0)])
}
const hashOf = (content: Buffer) => createHash('sha256').update(content).digest('hex')
const raw = (content: Buffer) => Buffer.concat([Buffer.of(0), content])

describe('snapshots as a stream', () => {
  test('come back as the same roots; a block of both is sent once', async () => {
    const { store, made, done, reader } = await unpacked(stream)
    await done
    expect(await reader.isAtEnd()).toBe(true)
    expect(made.map(({ root }) => root)).toEqual(roots)
    expect(await contentOf(store, roots[1]!, null)).toEqual(second)
    expect(stream.length).toBeLessThan(blockBytes + 5000)
    const bytes = made.reduce((sum, { bytesStored }) => sum + bytesStored, 0)
    let stored = 0
    for (const kind of objectKinds)
      for await (const hash of store.list(kind)) stored += await store.storedBytes(kind, hash)
    expect(bytes).toBe(stored)
  })

  test('are sealed where they arrive, opened where they leave, and the stream is the same', async () => {
    const sealKey = randomBytes(32)
    const { store, made, done } = await unpacked(stream, { sealKey })
    await done
    expect(made.map(({ root }) => root)).not.toEqual(roots)
    expect(await contentOf(store, made[1]!.root, sealKey)).toEqual(second)
    source = store
    expect(await packed(made.map(({ root }) => ({ root, sealKey })))).toEqual(stream)
  })

  test('of nothing but zeros are nothing but their ends', async () => {
    source = await openStore(await temporaryFolder())
    const root = await putSnapshot(source, gib, new Map())
    const empty = await packed([{ root, sealKey: null }])
    expect(empty.length).toBe(37)
    const { made, done } = await unpacked(empty, { snapshots: [{ sizeBytes: gib, blockCount: 0 }] })
    await done
    expect(made[0]!.root).toBe(root)
  })
})

describe('a stream is refused', () => {
  async function refused(content: Buffer, why: RegExp, snapshots = facts): Promise<void> {
    const { store, made, done } = await unpacked(content, { snapshots })
    await expect(done).rejects.toThrow(why)
    const error = await done.catch((thrown) => thrown)
    expect(error instanceof UnusableImage || error instanceof StreamEnded).toBe(true)
    // What is there is whole.
    for await (const hash of store.list('block')) await store.read('block', hash)
    for (const { root } of made) await readRoot(store, root)
  }
  const ended = (content: Buffer) => Buffer.concat([content, record(0, 1, hashOf(Buffer.alloc(1)))])
  const [a, b] = [patternBlock('a'), patternBlock('b')]

  test('that ends early, wherever', async () => {
    for (const length of [0, 1, 36, 40, 41, 90, stream.length - 1]) await refused(stream.subarray(0, length), /ends at/)
  })

  test('of which a bit is flipped, wherever', async () => {
    for (const at of [0, 3, 20, 39, 60, 130, stream.length - 40, stream.length - 10]) {
      const changed = Buffer.from(stream)
      changed[at]! ^= 4
      await refused(changed, /damaged|ends at/)
    }
  })

  test('whose blocks are in no order, beyond the end, of zeros, or of an unknown kind', async () => {
    const [one, other] = [record(1, 5, hashOf(a), raw(a)), record(1, 5, hashOf(b), raw(b))]
    await refused(Buffer.concat([one, other]), /block 5 follows block 5/)
    await refused(record(1, 2048, hashOf(a), raw(a)), /in a volume of 2048 blocks/)
    await refused(record(1, 0, hashOf(Buffer.alloc(blockBytes)), raw(Buffer.alloc(blockBytes))), /block 0 follows/)
    await refused(record(3, 0, hashOf(a), raw(a)), /kind 3/)
  })

  test('that repeats what it has not brought, even if the store has it', async () => {
    const store = await openStore(await temporaryFolder())
    await store.write('block', hashOf(a), a)
    const request = { store, snapshots: facts, sealKey: null, onSnapshot: async () => {} }
    const reader = new PieceReader(inPieces(record(2, 0, hashOf(a)), 10))
    await expect(unpackSnapshots({ ...request, reader }, {}, systemClock)).rejects.toThrow(/did not come before/)
  })

  test('whose payload is too long, sealed, another block, or unpacks to gigabytes', async () => {
    await refused(record(1, 0, hashOf(a), raw(a), 0xffffffff), /claims to have 4294967295 bytes/)
    await refused(ended(record(1, 0, hashOf(a), Buffer.concat([Buffer.of(2), a]))), /sealed/)
    await refused(ended(record(1, 0, hashOf(b), raw(a))), /does not have this hash/)
    await refused(ended(record(1, 0, hashOf(a.subarray(1)), raw(a.subarray(1)))), /unpacks to 524287 bytes/)
    const bomb = await promisify(zstdCompress)(Buffer.alloc(gib / 8))
    await refused(ended(record(1, 0, hashOf(a), Buffer.concat([Buffer.of(1), bomb]))), /damaged/)
  })

  test('whose counts or root are not those of its blocks', async () => {
    const wrong = [{ sizeBytes: gib, blockCount: 2 }, facts[1]!]
    await refused(stream, /not those that the image had/, wrong)
    await refused(stream, /not those that the image had/, [{ sizeBytes: 2 * gib, blockCount: 3 }, facts[1]!])
  })
})
