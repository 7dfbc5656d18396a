/**
 * Captures, copies, deletions, collections and repairs, all at once, on a disk that fails and with processes that die, as a
 * seed decides. `KILN_SEED=n` plays a failure again, as far as chance is ours to decide: what the host's disk finishes first
 * is not. Time stands still but where the simulation moves it on.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { type Random, randomInt, seededRandom, systemRandom } from '../lib/random.ts'
import { leafSpanBytes } from './format.ts'
import { openLocalStore } from './local-store.ts'
import type { LiveObjects } from './ports.ts'
import { createSnapshotBlocks, type LocalSnapshotBlocks } from './snapshot-blocks.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, type Hash, objectKinds } from './store.ts'
import type { StoreFiles } from './store-files.ts'
import { realFiles } from './store-files.ts'
import { serverControl } from './testing/block-server.ts'
import { datedFiles } from './testing/dated-files.ts'
import { type ManualClock, manualClock } from './testing/manual-clock.ts'
import { type DiskTexts, serveDisks } from './testing/memory-disks.ts'
import { sealedDisks } from './testing/qemu-disks.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const seed = Number(process.env.KILN_SEED ?? randomInt(systemRandom, 1_000_000))
const rounds = 10
const actionsPerRound = 10
const regions = ['us-east-1', 'eu-west-1']
/** So few texts that much is shared, comes back after it was deleted, and is found by writers in the middle of a collection. */
const texts = Array.from({ length: 9 }, (_, i) => `text ${i}`)
const sizeBytes = 2 * leafSpanBytes
const owner = 'the simulated state'
const places = [0, 1, 2, 500, 1023, 1024, 1030, 2000]

interface Snapshot {
  region: string
  root: Hash
  disk: DiskTexts
}

class World {
  readonly random: Random
  readonly clock: ManualClock
  readonly folder: string
  readonly disks = new Map<string, DiskTexts>()
  /** What the state of a cloud would say. */
  readonly snapshots = new Set<Snapshot>()
  blocks!: LocalSnapshotBlocks
  #diskCount = 0
  #faultIn: number | null = null
  #isDead = false
  #stops: { stop: AbortController; in: number }[] = []
  #files: StoreFiles

  constructor(folder: string, random: Random) {
    this.folder = folder
    this.random = random
    this.clock = manualClock()
    this.#files = datedFiles(this.clock, this.#failing())
    this.restart()
  }

  /** A daemon that was killed comes back: it knows nothing but what lies on disk, and what the state says. */
  restart(): void {
    this.#isDead = false
    this.#faultIn = null
    this.#stops = []
    this.blocks = createSnapshotBlocks({
      ...{ regionsDir: join(this.folder, 'regions'), runDir: this.folder, statsDir: join(this.folder, 'stats') },
      ...{ sealedDisks, server: serverControl, syncFilesystem: async () => {}, log: silentLog, clock: this.clock },
      files: this.#files,
    })
  }

  /** Every change of the disk may be the one that fails; after death none succeeds any more. */
  #failing(): StoreFiles {
    const guard =
      <Args extends unknown[], T>(call: (...args: Args) => Promise<T>) =>
      async (...args: Args): Promise<T> => {
        for (const one of this.#stops) if (one.in-- === 0) one.stop.abort(new Error('stopped on purpose'))
        if (this.#isDead) throw Object.assign(new Error('the process is dead'), { code: 'EIO' })
        if (this.#faultIn !== null && this.#faultIn-- === 0) {
          this.#faultIn = null
          if (randomInt(this.random, 2) === 0) this.#isDead = true
          throw Object.assign(new Error('on purpose'), { code: 'ENOSPC' })
        }
        return await call(...args)
      }
    const { write, writeDurably, rename, link, remove, removeFolder, makeFolder } = realFiles
    return {
      ...realFiles,
      ...{ write: guard(write), writeDurably: guard(writeDurably), rename: guard(rename), link: guard(link) },
      ...{ remove: guard(remove), removeFolder: guard(removeFolder), makeFolder: guard(makeFolder) },
    }
  }

  planFault(): void {
    this.#faultIn = randomInt(this.random, 60)
  }

  pick<T>(items: readonly T[]): T {
    return items[randomInt(this.random, Math.max(1, items.length))]!
  }

  async capture(): Promise<void> {
    const region = this.pick(regions)
    const used = places.filter(() => randomInt(this.random, 3) > 0)
    const disk = new Map(used.map((place) => [place, this.pick(texts)]))
    const exportName = `disk-${this.#diskCount++}`
    this.disks.set(exportName, disk)
    const source = { socketPath: join(this.folder, 'disks.sock'), exportName }
    const { root } = await this.blocks.capture({ region, source, sizeBytes, parent: null }, this.#maybeStopped())
    await this.#writeDown({ region, root, disk })
  }

  async copy(): Promise<void> {
    const source = this.pick([...this.snapshots])
    if (!source) return
    const toRegion = this.pick(regions.filter((region) => region !== source.region))
    await this.blocks.copy({ root: source.root, fromRegion: source.region, toRegion }, this.#maybeStopped())
    await this.#writeDown({ ...source, region: toRegion })
  }

  /** The state learns of it a little later, or never. */
  async #writeDown(snapshot: Snapshot): Promise<void> {
    for (let turns = randomInt(this.random, 20); turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve))
    if (this.#isDead || randomInt(this.random, 6) === 0) return
    this.snapshots.add(snapshot)
    await this.blocks.settle(snapshot.region, snapshot.root)
  }

  /** One piece of work in four is asked to leave, some changes of the disk later. */
  #maybeStopped() {
    const stop = new AbortController()
    if (randomInt(this.random, 4) === 0) this.#stops.push({ stop, in: randomInt(this.random, 40) })
    return { signal: stop.signal }
  }

  async delete(): Promise<void> {
    const snapshot = this.pick([...this.snapshots])
    if (snapshot) this.snapshots.delete(snapshot)
  }

  async collect(graceMs = this.pick([0, 0, 5000])): Promise<void> {
    const region = this.pick(regions)
    const live = async () => this.live(region)
    const collected = await this.blocks.collect({ region, owner, live, graceMs }, this.#maybeStopped())
    expect(collected.stopped?.reason, collected.stopped?.message).not.toBe('damaged')
  }

  live(region: string): LiveObjects {
    const roots = [...this.snapshots].filter((one) => one.region === region).map((one) => one.root)
    return { roots: [...new Set(roots)], blocks: [] }
  }

  async act(): Promise<void> {
    if (randomInt(this.random, 8) === 0) this.planFault()
    const actions = [
      () => this.capture(),
      () => this.capture(),
      () => this.copy(),
      () => this.delete(),
      () => this.collect(),
    ]
    await this.pick(actions)()
  }

  /** Nothing live was lost: every snapshot reads as its disk did. */
  async expectWhole(round: number): Promise<void> {
    for (const region of await this.blocks.storedRegions()) {
      const { flaws } = await this.blocks.check({ region, live: async () => this.live(region) })
      expect(flaws, `seed ${seed}, round ${round}: ${region}`).toEqual([])
    }
    for (const { region, root, disk } of this.snapshots) {
      const store = await this.open(region)
      expect(await diskOf(store, root), `seed ${seed}, round ${round}: ${root}`).toEqual(
        new Map([...disk].sort(([a], [b]) => a - b)),
      )
      await expectClosed(store, `seed ${seed}, round ${round}`)
    }
  }

  open(region: string): Promise<BlockStore> {
    return openLocalStore({ directory: join(this.folder, 'regions', region, 'store'), access: 'read' })
  }
}

/** The texts of a snapshot, by place. */
async function diskOf(store: BlockStore, hash: Hash): Promise<Map<number, string>> {
  const disk = new Map<number, string>()
  const root = await readRoot(store, hash)
  for (const ref of root.leaves) {
    const leaf = await readLeaf(store, ref, root.sizeBytes)
    for (let slot = 0; slot < 1024; slot++) {
      const name = leaf.hashAt(slot)
      if (name) disk.set(ref.index * 1024 + slot, (await store.read('block', name)).toString('latin1', 0, 6))
    }
  }
  return disk
}

async function expectClosed(store: BlockStore, where: string): Promise<void> {
  for await (const hash of store.list('root')) {
    const root = await readRoot(store, hash)
    for (const ref of root.leaves) expect(await store.has('leaf', ref.hash), `${where}: leaf of ${hash}`).toBe(true)
    for (const ref of root.leaves)
      for (const block of (await readLeaf(store, ref, root.sizeBytes)).hashes())
        expect(await store.has('block', block), `${where}: block of ${hash}`).toBe(true)
  }
}

test('whatever happens at once, nothing live is lost, and in the end nothing is left', async () => {
  const folder = await temporaryFolder()
  const world = new World(folder, seededRandom(seed))
  for (const region of regions) await world.blocks.openRegion(region)
  await serveDisks(join(folder, 'disks.sock'), async (name) => ({ sizeBytes, texts: world.disks.get(name)! }))
  let done = 0
  for (let round = 0; round < rounds; round++) {
    const acts = Array.from({ length: actionsPerRound }, () => world.act())
    for (const outcome of await Promise.allSettled(acts)) {
      if (outcome.status === 'fulfilled') done++
      else expect(String(outcome.reason), `seed ${seed}`).toMatch(/on purpose|is dead|ENOSPC|EIO|no block store/)
    }
    world.restart()
    world.clock.advance(randomInt(world.random, 4000))
    await world.expectWhole(round)
  }
  // A run in which nothing succeeds would prove nothing.
  expect(done, `seed ${seed}`).toBeGreaterThan(rounds * 2)
  world.snapshots.clear()
  for (const region of await world.blocks.storedRegions()) {
    await world.blocks.collect({ region, owner, graceMs: 0, live: async () => world.live(region) })
    const store = await world.open(region)
    for (const kind of objectKinds)
      for await (const hash of store.list(kind)) expect.unreachable(`seed ${seed}: ${kind} ${hash}`)
  }
})

test('one region’s damage is repaired from the other’s store, whatever was hit', async () => {
  const folder = await temporaryFolder()
  const world = new World(folder, seededRandom(seed))
  for (const region of regions) await world.blocks.openRegion(region)
  await serveDisks(join(folder, 'disks.sock'), async (name) => ({ sizeBytes, texts: world.disks.get(name)! }))
  while (world.snapshots.size < 6) await world.capture().catch(() => {})
  for (const snapshot of [...world.snapshots]) {
    const toRegion = regions.find((region) => region !== snapshot.region)!
    await world.blocks.copy({ root: snapshot.root, fromRegion: snapshot.region, toRegion })
    world.snapshots.add({ ...snapshot, region: toRegion })
  }
  const [hurt, intact] = regions as [string, string]
  // What nobody needs goes before, so that every hit is at something live.
  world.clock.advance(3600_000)
  await world.blocks.collect({ region: hurt, owner, graceMs: 0, live: async () => world.live(hurt) })
  await hit(await world.open(hurt), world.random)
  const live = async () => world.live(hurt)
  const { flaws } = await world.blocks.check({ region: hurt, live })
  expect(flaws.length, `seed ${seed}`).toBeGreaterThan(0)
  const repaired = await world.blocks.check({ region: hurt, live, repairFrom: [intact] })
  expect(new Set(repaired.flaws.map((flaw) => flaw.repairedFrom)), `seed ${seed}`).toEqual(new Set([intact]))
  await world.expectWhole(0)
})

/** Spoils about a third of the objects of a store, one byte each. */
async function hit(store: BlockStore, random: Random): Promise<void> {
  for (const kind of objectKinds)
    for await (const hash of store.list(kind)) {
      if (randomInt(random, 3) > 0) continue
      const path = join(store.where, kind, hash.slice(0, 2), hash.slice(2, 4), hash)
      const bytes = await readFile(path)
      bytes[randomInt(random, bytes.length)]! ^= 1
      await mkdir(join(store.where, 'tmp'), { recursive: true })
      await writeFile(path, bytes)
    }
}
