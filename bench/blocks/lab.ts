/** A store of its own and a disk of 1 GiB of data, half of which packs well: what the block benches work on. */
import { randomFillSync } from 'node:crypto'
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSnapshotBlocks, type LocalSnapshotBlocks } from '../../src/blocks/snapshot-blocks.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { createLog } from '../../src/lib/log.ts'
import { endProcess, isAlive, run, startDetached } from '../../src/lib/programs.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { createDiskTools, type HostDiskTools } from '../../src/machines/qemu/disk-tools.ts'

export const mibBytes = 1024 ** 2
export const dataBytes = 1024 * mibBytes
export const changedMib = 20

export class Lab {
  readonly folder: string
  readonly regionsDir: string
  readonly runDir: string
  readonly statsDir: string
  readonly blocks: LocalSnapshotBlocks
  readonly disks: HostDiskTools
  #regions = 0

  private constructor(folder: string) {
    this.folder = folder
    this.regionsDir = join(folder, 'regions')
    this.runDir = join(folder, 'run')
    this.statsDir = join(folder, 'stats')
    const log = createLog('error')
    this.disks = createDiskTools({ runDir: this.runDir, clock: systemClock, random: systemRandom, log })
    this.blocks = createSnapshotBlocks({
      ...{ regionsDir: this.regionsDir, runDir: this.runDir, statsDir: this.statsDir, log, clock: systemClock },
      server: {
        start: ({ script, args, logPath }) => startDetached(process.execPath, [script, ...args], { logPath }),
        isAlive,
        end: endProcess,
      },
      sealedDisks: this.disks,
      syncFilesystem: flushed,
    })
  }

  static async open(): Promise<Lab> {
    const lab = new Lab(await mkdtemp(join(tmpdir(), 'kiln-bench-')))
    for (const folder of [lab.regionsDir, lab.runDir, lab.statsDir]) await mkdir(folder)
    await writeData(`${lab.disk}.raw`)
    await run('qemu-img', ['convert', '-O', 'qcow2', `${lab.disk}.raw`, lab.disk])
    await rm(`${lab.disk}.raw`)
    await lab.disks.createLayer(lab.increment, dataBytes, null)
    const writes: string[] = []
    for (let at = 0; at < changedMib; at++) {
      const piece = join(lab.folder, `piece-${at}`)
      await writeFile(piece, randomFillSync(Buffer.alloc(mibBytes)))
      writes.push('-c', `write -q -s ${piece} ${at * 40 + 3}M 1M`)
    }
    await run('qemu-io', [...writes, lab.increment])
    await flushed(lab.folder)
    return lab
  }

  /** The disk, as a snapshot freezes it, and the layer with what was written since. */
  get disk(): string {
    return join(this.folder, 'disk.qcow2')
  }

  get increment(): string {
    return join(this.folder, 'increment.qcow2')
  }

  /** A region that nothing was stored in yet. */
  async newRegion(): Promise<string> {
    const region = `bench-${this.#regions++}`
    await this.blocks.openRegion(region)
    return region
  }

  /** What the daemon does for a snapshot, from the frozen files to the committed root. */
  async capture(region: string, layers: readonly string[], parentRoot: string | null) {
    const source = await this.disks.openForReading({ base: null, layers: [...layers], key: null }, dataBytes)
    try {
      const parent = parentRoot === null ? null : { root: parentRoot, changedDepth: 1 }
      return await this.blocks.capture({ region, source, sizeBytes: dataBytes, parent })
    } finally {
      await source.close()
    }
  }

  async remove(region: string): Promise<void> {
    await rm(join(this.regionsDir, region), { recursive: true })
  }

  async close(): Promise<void> {
    await this.blocks.stopServer()
    await this.disks.reapStale()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** All sides of a comparison end on stable storage. */
export async function flushed(path: string): Promise<void> {
  await run('sync', ['-f', path], { timeoutMs: 600_000 })
}

/** Noise and text in turns of 8 MiB. The text packs to about a third, as programs and documents do. */
export async function writeData(path: string): Promise<void> {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(8 * mibBytes)
  try {
    for (let at = 0; at < dataBytes; at += chunk.length) {
      randomFillSync(chunk)
      // Sixteen letters that come by chance: half of each byte says something.
      if ((at / chunk.length) % 2 === 1) for (let i = 0; i < chunk.length; i++) chunk[i] = lettersOf(chunk[i]!)
      await file.write(chunk, 0, chunk.length, at)
    }
  } finally {
    await file.close()
  }
}

const letters = Buffer.from('  eetaoinshrdlu,')
const lettersOf = (byte: number) => letters[byte & 15]!
