import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { isAlive, run, signalProcess, startDetached } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import type { DiskChain } from '../driver.ts'
import { createDiskTools, type HostDiskTools } from './disk-tools.ts'
import { processesWith } from './process-table.ts'

const sizeBytes = 16 * 1024 * 1024
let folder: string
let runDir: string
let tools: HostDiskTools

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-tools-'))
  runDir = join(folder, 'run')
  tools = newTools()
})
afterEach(async () => {
  await newTools().reapStale()
  await rm(folder, { recursive: true, force: true })
})

function newTools(): HostDiskTools {
  return createDiskTools({ runDir, clock: systemClock, random: systemRandom, log: silentLog })
}

async function layer(name: string): Promise<string> {
  const path = join(folder, name)
  await tools.createLayer(path, sizeBytes, null)
  return path
}

/** Writes a pattern into a layer, as a guest would above `backing`. */
async function fill(path: string, pattern: number, offset: string, length: string): Promise<void> {
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -P ${pattern} ${offset} ${length}`, path])
}

/** Processes of the servers that read disks of this test. */
function servers() {
  return processesWith((argument) => (argument.startsWith(runDir) && argument.endsWith('.pid') ? argument : undefined))
}

function nbd(source: { socketPath: string; exportName: string }, more: Record<string, unknown> = {}): string {
  const server = { type: 'unix', path: source.socketPath }
  return `json:${JSON.stringify({ driver: 'nbd', server, export: source.exportName, ...more })}`
}

describe('createLayer', () => {
  it('makes an empty layer of the size, and replaces what was there', async () => {
    const path = await layer('a.qcow2')
    await fill(path, 1, '0', '1M')
    await tools.createLayer(path, 2 * sizeBytes, null)
    const info = JSON.parse(await run('qemu-img', ['info', '--output=json', path]))
    expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': 2 * sizeBytes })
    expect(info['backing-filename']).toBeUndefined()
    const map = JSON.parse(await run('qemu-img', ['map', '--output=json', path]))
    expect(map).toEqual([expect.objectContaining({ start: 0, length: 2 * sizeBytes, data: false })])
  })

  it('makes many of one size, all of them empty and their own', async () => {
    const paths = await Promise.all(['a', 'b', 'c'].map((name) => layer(`${name}.qcow2`)))
    await fill(paths[0]!, 1, '0', '1M')
    const later = await layer('d.qcow2')
    const [, second, third, fourth] = await Promise.all([...paths, later].map((path) => readFile(path)))
    expect(second!.equals(third!)).toBe(true)
    expect(second!.equals(fourth!)).toBe(true)
    for (const path of [paths[1]!, later]) {
      await run('qemu-img', ['check', '-q', '-f', 'qcow2', path])
      await run('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0 0 16M', path])
    }
  })

  it('makes layers that copy-on-read can fill around what was written', async () => {
    const base = join(folder, 'base.raw')
    await writeFile(base, Buffer.alloc(sizeBytes, 0x11))
    const file = { driver: 'file', filename: await layer('a.qcow2') }
    const backing = { driver: 'raw', file: { driver: 'file', filename: base } }
    const disk = { driver: 'copy-on-read', file: { driver: 'qcow2', file, backing } }
    const script = ['write -P 0x22 36k 4k', 'read -P 0x11 8k 28k', 'read -P 0x22 36k 4k', 'read -P 0x11 40k 300k']
    const output = await run('qemu-io', [...script.flatMap((line) => ['-c', line]), `json:${JSON.stringify(disk)}`])
    expect(output.match(/^(read|wrote) /gm)).toHaveLength(script.length)
    expect(output).not.toContain('verification failed')
  })

  it('leaves nothing when it fails', async () => {
    const nowhere = join(folder, 'no-folder', 'a.qcow2')
    await expect(tools.createLayer(nowhere, 3 * sizeBytes, null)).rejects.toThrow('qemu-img failed')
    await tools.createLayer(join(folder, 'a.qcow2'), 3 * sizeBytes, null)
    await rm(join(folder, 'a.qcow2'))
    await expect(tools.createLayer(nowhere, 3 * sizeBytes, null)).rejects.toThrow('ENOENT')
    await expect(tools.createLayer(join(folder, 'b.qcow2'), -1, null)).rejects.toThrow('qemu-img failed')
    expect(await readdir(folder)).toEqual([])
  })
})

describe('openForReading', () => {
  it('serves what the layers say together, and how deep each part lies', async () => {
    const layers = [await layer('a.qcow2'), await layer('b.qcow2')] as const
    await fill(layers[0], 0xaa, '0', '256k')
    await fill(layers[1], 0xbb, '128k', '256k')
    const source = await tools.openForReading({ base: null, layers, key: null }, sizeBytes)
    const raw = join(folder, 'raw')
    await run('qemu-img', ['convert', '-O', 'raw', nbd(source), raw])
    const bytes = await readFile(raw)
    expect(bytes).toHaveLength(sizeBytes)
    const kib = 1024
    expect([0, 128 * kib - 1, 128 * kib, 384 * kib - 1, 384 * kib].map((at) => bytes[at])).toEqual([
      0xaa, 0xaa, 0xbb, 0xbb, 0,
    ])

    const context = nbd(source, { 'x-dirty-bitmap': 'qemu:allocation-depth' })
    const map = JSON.parse(await run('qemu-img', ['map', '--output=json', context])) as {
      start: number
      length: number
    }[]
    expect(map.map(({ start, length }) => [start, length]).slice(0, 2)).toEqual([
      [0, 128 * kib],
      [128 * kib, 256 * kib],
    ])
    await source.close()
    await source.close()
    expect(servers()).toEqual([])
    expect(await readdir(runDir)).toEqual([])
  })

  it('reads a base under the layers', async () => {
    const raw = join(folder, 'base.raw')
    await writeFile(raw, Buffer.alloc(sizeBytes, 0x11))
    const socketPath = join(folder, 'base.sock')
    const args = ['--persistent', '--read-only', '--format=raw', '--export-name=snap', '--socket', socketPath, raw]
    const base = await startDetached('qemu-nbd', args, { logPath: join(folder, 'base.log') })
    try {
      const top = await layer('top.qcow2')
      await fill(top, 0x22, '1M', '1M')
      const chain: DiskChain = { base: { socketPath, exportName: 'snap' }, layers: [top], key: null }
      const source = await tools.openForReading(chain, sizeBytes)
      const verify = ['-r', '-c', 'read -P 0x11 0 1M', '-c', 'read -P 0x22 1M 1M', nbd(source)]
      expect(await run('qemu-io', verify)).not.toContain('verification failed')
      await source.close()
    } finally {
      signalProcess(base, 'SIGKILL')
    }
  })

  it.each([
    ['a layer is missing', (path: string) => [path, `${path}.missing`], sizeBytes, /missing.*No such file/],
    ['the size is another', (path: string) => [path], sizeBytes * 2, /16777216 bytes, where 33554432/],
  ])('says so when %s, and leaves nothing', async (_what, layers, size, message) => {
    const path = await layer('a.qcow2')
    await expect(tools.openForReading({ base: null, layers: layers(path), key: null }, size)).rejects.toThrow(message)
    expect(servers()).toEqual([])
    expect(await readdir(runDir)).toEqual([])
  })
})

describe('servers of a daemon that is gone', () => {
  it('are ended by the next one, which leaves its own alone', async () => {
    const chain = { base: null, layers: [await layer('a.qcow2')], key: null }
    await tools.openForReading(chain, sizeBytes)
    const next = newTools()
    const own = await next.openForReading(chain, sizeBytes)
    expect(servers()).toHaveLength(2)
    expect(await next.reapStale()).toBe(1)
    expect(servers()).toHaveLength(1)
    await access(own.socketPath)
    expect(await next.reapStale()).toBe(0)
    await own.close()
    expect(await readdir(runDir)).toEqual([])
  })

  it('die with it when it is killed', async () => {
    const script = join(folder, 'reader.mjs')
    const chain = { base: null, layers: [await layer('a.qcow2')], key: null }
    const room = import.meta.dirname
    await writeFile(
      script,
      `import { createDiskTools } from '${room}/disk-tools.ts'
       import { systemClock } from '${room}/../../lib/clock.ts'
       import { systemRandom } from '${room}/../../lib/random.ts'
       import { silentLog } from '${room}/../../lib/log.ts'
       const tools = createDiskTools({ runDir: '${runDir}', clock: systemClock, random: systemRandom, log: silentLog })
       await tools.openForReading(${JSON.stringify(chain)}, ${sizeBytes})
       setInterval(() => {}, 1000)`,
    )
    const reader = await startDetached(process.execPath, [script], { logPath: join(folder, 'reader.log') })
    const timing = { everyMs: 20, timeoutMs: 15_000 }
    const [server] = (await waitFor(systemClock, () => (servers().length > 0 ? servers() : undefined), timing)) ?? []
    signalProcess(reader, 'SIGKILL')
    expect(await waitFor(systemClock, () => (isAlive(server!.ref) ? undefined : true), timing)).toBe(true)
  })
})

it('counts what files take on the host, not what they seem to hold', async () => {
  const path = await layer('a.qcow2')
  const { localBytes } = await tools.usage([path])
  expect(localBytes).toBeLessThan(1024 * 1024)
  await fill(path, 7, '0', '1M')
  expect((await tools.usage([path])).localBytes).toBeGreaterThanOrEqual(localBytes + 1024 * 1024 - 4096)
  expect(await tools.usage([join(folder, 'gone')])).toEqual({ localBytes: 0 })
})
