/** Disks whose files say nothing to whoever lacks their key; judged by QEMU's own programs. */
import { mkdtemp, open as openFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import { seededRandom, systemRandom } from '../../lib/random.ts'
import type { DiskChain, ServedDisk } from '../driver.ts'
import { createDiskTools, type HostDiskTools } from './disk-tools.ts'
import { processesWith } from './process-table.ts'
import { writeSealedLayer } from './sealed-layer.ts'

const mib = 1024 * 1024
const sizeBytes = 16 * mib
const key = systemRandom.bytes(32)
const otherKey = systemRandom.bytes(32)

let folder: string
let runDir: string
let tools: HostDiskTools

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-sealed-'))
  runDir = join(folder, 'run')
  tools = createDiskTools({ runDir, clock: systemClock, random: systemRandom, log: silentLog })
})
afterEach(async () => {
  await createDiskTools({ runDir, clock: systemClock, random: systemRandom, log: silentLog }).reapStale()
  await rm(folder, { recursive: true, force: true })
})

async function layer(name: string, under = key): Promise<string> {
  const path = join(folder, name)
  await tools.createLayer(path, sizeBytes, under)
  return path
}

function image(disk: ServedDisk, more: Record<string, unknown> = {}): string {
  const server = { type: 'unix', path: disk.socketPath }
  return `json:${JSON.stringify({ driver: 'nbd', server, export: disk.exportName, ...more })}`
}

async function write(path: string, ...commands: string[]): Promise<void> {
  const disk = await tools.openForWriting(path, sizeBytes, key)
  await run('qemu-io', [...commands, 'flush'].flatMap((line) => ['-c', line]).concat(image(disk)))
  await disk.close()
}

/** Everything that the chain holds, as one buffer. */
async function contentOf(chain: DiskChain, size = sizeBytes): Promise<Buffer> {
  const disk = await tools.openForReading(chain, size)
  try {
    await run('qemu-img', ['convert', '-O', 'raw', image(disk), join(folder, 'content')])
    return await readFile(join(folder, 'content'))
  } finally {
    await disk.close()
  }
}

/** The key, in every form in which it might be written down. */
const formsOf = (secret: Buffer) => [
  secret,
  Buffer.from(secret.toString('hex')),
  Buffer.from(secret.toString('base64')),
]

describe('a sealed layer', () => {
  it('is an empty qcow2 file that QEMU finds nothing wrong with, and is made in no more than it needs', async () => {
    const path = await layer('a.qcow2')
    const info = JSON.parse(await run('qemu-img', ['info', '--output=json', path]))
    expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': sizeBytes, 'cluster-size': 65_536, encrypted: true })
    expect(info['format-specific'].data.encrypt).toMatchObject({
      format: 'luks',
      'cipher-alg': 'aes-256',
      'cipher-mode': 'xts',
      'ivgen-alg': 'plain64',
      slots: expect.arrayContaining([expect.objectContaining({ active: true, iters: 1000, stripes: 4000 })]),
    })
    const secret = join(folder, 'secret')
    await writeFile(secret, key.toString('hex'))
    const opened = `driver=qcow2,file.filename=${path},encrypt.key-secret=k`
    const check = ['check', '--object', `secret,id=k,file=${secret}`, '--image-opts', opened]
    expect(await run('qemu-img', check)).toContain('No errors were found')
    expect((await tools.usage([path])).localBytes).toBeLessThan(mib)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await contentOf({ base: null, layers: [path], key })).equals(Buffer.alloc(sizeBytes))).toBe(true)
  })

  it('shows nothing of what was written through it, nor of its key', async () => {
    const path = await layer('a.qcow2')
    // qemu-io writes a file's content again and again.
    await writeFile(join(folder, 'marker'), 'nobody shall read this')
    await write(path, `write -s ${join(folder, 'marker')} 1M 1M`)
    const file = await readFile(path)
    expect(file.includes('nobody shall')).toBe(false)
    for (const form of formsOf(key)) expect(file.includes(form)).toBe(false)
    const content = await contentOf({ base: null, layers: [path], key })
    expect(content.subarray(mib, mib + 22).toString()).toBe('nobody shall read this')
  })

  it('seals the same under one key and two headers differently', async () => {
    const paths = [await layer('a.qcow2'), await layer('b.qcow2')]
    for (const path of paths) await write(path, 'write -P 7 0 64k')
    const [a, b] = await Promise.all(paths.map((path) => readFile(path)))
    expect(a!.subarray(-65_536).equals(b!.subarray(-65_536))).toBe(false)
  })

  it('is refused under another key, under none, and where it is not sealed, in words', async () => {
    const sealed = await layer('a.qcow2')
    const plain = join(folder, 'plain.qcow2')
    await tools.createLayer(plain, sizeBytes, null)
    const opened = (chain: DiskChain) => tools.openForReading(chain, sizeBytes)
    await expect(opened({ base: null, layers: [sealed], key: otherKey })).rejects.toThrow('sealed under another key')
    await expect(opened({ base: null, layers: [sealed], key: null })).rejects.toThrow(
      "'encrypt.key-secret' is required",
    )
    await expect(opened({ base: null, layers: [plain], key })).rejects.toThrow('No encryption in image header')
    await expect(tools.openForWriting(sealed, sizeBytes, otherKey)).rejects.toThrow('sealed under another key')
    await expect(tools.createLayer(sealed, sizeBytes, key.subarray(1))).rejects.toThrow("a disk's key has 32 bytes")
    await expect(tools.createLayer(sealed, 1000, key)).rejects.toThrow('a disk cannot have 1000 bytes')
    expect((await readdir(folder)).sort()).toEqual(['a.qcow2', 'plain.qcow2', 'run'])
    expect(await readdir(runDir)).toEqual([])
  })

  it('grows to the largest size there is without its key, and keeps what it has', async () => {
    const path = await layer('a.qcow2')
    await write(path, 'write -P 7 1M 64k')
    const largest = 64 * 1024 ** 4
    await tools.growLayer(path, sizeBytes / 2)
    await tools.growLayer(path, largest)
    await tools.growLayer(path, largest)
    const disk = await tools.openForWriting(path, largest, key)
    const atTheEnd = largest - 65_536
    const commands = [`write -P 9 ${atTheEnd} 64k`, 'read -P 7 1M 64k', 'read -P 0 2M 1M', `read -P 9 ${atTheEnd} 64k`]
    const output = await run('qemu-io', [...commands.flatMap((line) => ['-c', line]), image(disk)])
    expect(output).not.toContain('failed')
    await disk.close()
    expect((await tools.usage([path])).localBytes).toBeLessThan(2 * mib)
    await expect(tools.growLayer(path, largest + 512)).rejects.toThrow(`a disk cannot have ${largest + 512} bytes`)
  })

  it('that has not the room to grow so is left alone', async () => {
    const path = await layer('a.qcow2')
    const file = await openFile(path, 'r+')
    // The number of entries in the table of clusters.
    await file.write(Buffer.of(0, 0, 0, 1), 0, 4, 36)
    await file.close()
    await expect(tools.growLayer(path, 1024 ** 4)).rejects.toThrow("is no sealed layer of Kiln's")
  })
})

describe('a sealed chain', () => {
  it('is read through all its layers, which say how deep each part lies', async () => {
    const layers = [await layer('a.qcow2'), await layer('b.qcow2')]
    await write(layers[0]!, 'write -P 0xaa 0 256k')
    await write(layers[1]!, 'write -P 0xbb 128k 256k')
    const chain = { base: null, layers, key }
    const content = await contentOf(chain)
    const kib = 1024
    expect([0, 128 * kib - 1, 128 * kib, 384 * kib - 1, 384 * kib].map((at) => content[at])).toEqual([
      0xaa, 0xaa, 0xbb, 0xbb, 0,
    ])
    const disk = await tools.openForReading(chain, sizeBytes)
    const depths = JSON.parse(
      await run('qemu-img', ['map', '--output=json', image(disk, { 'x-dirty-bitmap': 'qemu:allocation-depth' })]),
    ) as { start: number; length: number }[]
    expect(depths.map(({ start, length }) => [start, length]).slice(0, 2)).toEqual([
      [0, 128 * kib],
      [128 * kib, 256 * kib],
    ])
    await disk.close()
  })

  it('stands on a local base that is sealed like it, of which the holes are zeros', async () => {
    const [base, top] = [await layer('base.qcow2'), await layer('top.qcow2')]
    await write(base, 'write -P 1 0 2M')
    await write(top, 'write -P 2 1M 2M')
    const content = await contentOf({ base: { path: base }, layers: [top], key })
    expect([0, mib, 2 * mib, 3 * mib, sizeBytes - 1].map((at) => content[at])).toEqual([1, 2, 2, 0, 0])
  })

  it('tells no program its key by an argument, the environment or a file', async () => {
    const disk = await tools.openForReading({ base: null, layers: [await layer('a.qcow2')], key }, sizeBytes)
    const [server] = processesWith((argument) => (argument.startsWith(runDir) ? argument : undefined))
    const about = `/proc/${server!.ref.pid}`
    const files = (await readdir(runDir)).filter((name) => !/\.(nbd|qmp)$/.test(name)).map((name) => join(runDir, name))
    // An inherited secret is empty once the disk was opened.
    const inherited = (await readdir(`${about}/fd`)).filter((fd) => fd === '3').map((fd) => `${about}/fd/${fd}`)
    expect(inherited).toHaveLength(1)
    for (const path of [`${about}/cmdline`, `${about}/environ`, ...inherited, ...files]) {
      const content = await readFile(path)
      for (const form of formsOf(key)) expect(content.includes(form), path).toBe(false)
    }
    await disk.close()
  })
})

it('the same chance and key give the same layer', async () => {
  const paths = ['a.qcow2', 'b.qcow2'].map((name) => join(folder, name))
  for (const path of paths) await writeSealedLayer(path, sizeBytes, key, seededRandom(7))
  const [a, b] = await Promise.all(paths.map((path) => readFile(path)))
  expect(a!.equals(b!)).toBe(true)
})
