/** What only real machines can show; what every driver must do is in `driver.suite.ts`. */
import { existsSync } from 'node:fs'
import { mkdir, open as openFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import {
  endProcess,
  isAlive,
  type ProcessRef,
  run,
  signalProcess,
  startDetached,
  startTicksOf,
} from '../../lib/programs.ts'
import { randomInt, seededRandom } from '../../lib/random.ts'
import type { DiskChain, MachineDriver, MachineSpec } from '../driver.ts'
import { createQemuDriver } from './driver.ts'
import { processesWith } from './process-table.ts'
import { counterOffset, guestStrideBytes } from './test-guest.ts'
import {
  createQemuHarness,
  goesOn as guestGoesOn,
  type QemuHarness,
  serveRaw,
  testDiskBytes,
  ticksOf,
} from './test-harness.ts'

const id = 'i-0000000000000000a'
const rootVolume = 'vol-0000000000000000a'
const dataVolume = 'vol-0000000000000000b'
const timing = { everyMs: 20, timeoutMs: 20_000 }

let harness: QemuHarness
let driver: MachineDriver

beforeEach(async () => {
  harness = await createQemuHarness()
  driver = await harness.open()
})
afterEach(async () => {
  await Promise.all((await driver.list()).map((each) => driver.destroy(each)))
  await driver.close()
  await harness.cleanUp()
})

async function consoleText(): Promise<string> {
  return (await driver.consoleOutput(id, 64 * 1024))?.text ?? ''
}

const ticks = () => ticksOf(driver, id)
const goesOn = (more?: number) => guestGoesOn(driver, id, more)

/** The guest's count as it stands on a chain of files that nobody writes. */
async function counterOf(chain: DiskChain, sizeBytes = testDiskBytes): Promise<number> {
  const source = await harness.tools.openForReading(chain, sizeBytes)
  const copy = `${source.socketPath}.raw`
  try {
    const options = `driver=nbd,server.type=unix,server.path=${source.socketPath},export=${source.exportName}`
    await run('qemu-img', ['convert', '--image-opts', options, '-O', 'raw', copy])
    return (await readFile(copy)).readUInt32LE(counterOffset)
  } finally {
    await source.close()
    await rm(copy, { force: true })
  }
}

async function machineOnBase(
  sizeBytes: number,
): Promise<{ spec: MachineSpec; server: ProcessRef; raw: string; socketPath: string }> {
  const raw = await harness.rawDisk('base', {}, sizeBytes)
  // Something wherever the guest reads: zeros would be kept without taking room.
  const file = await openFile(raw, 'r+')
  for (let at = guestStrideBytes; at < sizeBytes; at += guestStrideBytes) await file.write('data', at)
  await file.close()
  const socketPath = join(harness.folder, 'base.sock')
  const server = await serveRaw(raw, socketPath, harness.folder)
  const layer = join(harness.folder, 'root.qcow2')
  await harness.tools.createLayer(layer, sizeBytes, null)
  const chain = { base: { socketPath, exportName: 'base' }, layers: [layer], key: null }
  return { spec: harness.machine(id, [{ volumeId: rootVolume, slot: 0, chain }]), server, raw, socketPath }
}

it('shows what is on the screen, and wakes it', async () => {
  await driver.start(await harness.spec(id))
  const picture = await waitFor(
    systemClock,
    async () => {
      const now = await driver.screen(id, { wake: true })
      // The BIOS writes in grey on black.
      return now?.rgb.includes(0xaa) ? now : undefined
    },
    timing,
  )
  expect(picture!.rgb).toHaveLength(picture!.widthPx * picture!.heightPx * 3)
  expect(picture!.rgb.includes(0)).toBe(true)
  await driver.destroy(id)
  await expect(driver.screen(id, { wake: false })).rejects.toThrow('has no process')
})

describe('freeze', () => {
  it('freezes two disks at one instant, and the guest goes on above', async () => {
    const disks = [await harness.disk(rootVolume, 0, {}), await harness.disk(dataVolume, 1, {})]
    await driver.start(harness.machine(id, disks))
    for (let round = 1; round <= 3; round += 1) {
      await goesOn()
      const tops = await Promise.all(
        disks.map(async ({ volumeId }) => ({ volumeId, newLayerPath: await harness.newLayer(`${volumeId}-${round}`) })),
      )
      const atLeast = await ticks()
      await driver.freeze(id, tops)
      const atMost = (await ticks()) + 1
      await goesOn()
      const [root, data] = await Promise.all(disks.map(({ chain }) => counterOf(chain)))
      expect(root! - data!, `counts ${root} and ${data}`).toBeOneOf([0, 1])
      expect(root).toBeGreaterThanOrEqual(atLeast)
      expect(root).toBeLessThanOrEqual(atMost)
      for (const [index, disk] of disks.entries()) {
        disks[index] = { ...disk, chain: { ...disk.chain, layers: [...disk.chain.layers, tops[index]!.newLayerPath] } }
      }
    }
    // All layers are needed and enough to start again.
    const last = await ticks()
    await driver.destroy(id)
    expect(await counterOf(disks[0]!.chain)).toBeGreaterThanOrEqual(last)
    await driver.start(harness.machine(id, disks))
    await goesOn()
  })

  it('freezes a disk over a lazily served base: what is read stays local, above the frozen layer too', async () => {
    const sizeBytes = 256 * 1024 * 1024
    const { spec, server, socketPath } = await machineOnBase(sizeBytes)
    try {
      await driver.start(spec)
      await goesOn(10)
      const frozen = spec.disks[0]!.chain
      const { localBytes } = await harness.tools.usage(frozen.layers)
      expect(localBytes).toBeGreaterThan(10 * 64 * 1024)
      const newLayerPath = join(harness.folder, 'above.qcow2')
      await harness.tools.createLayer(newLayerPath, sizeBytes, null)
      const empty = (await harness.tools.usage([newLayerPath])).localBytes
      await driver.freeze(id, [{ volumeId: rootVolume, newLayerPath }])
      const count = await ticks()
      await goesOn(10)
      expect(Math.abs((await counterOf(frozen, sizeBytes)) - count)).toBeLessThanOrEqual(1)
      expect((await harness.tools.usage([newLayerPath])).localBytes).toBeGreaterThan(empty)
      await driver.destroy(id)
      const chain = { base: { socketPath, exportName: 'base' }, layers: [...frozen.layers, newLayerPath], key: null }
      await driver.start(harness.machine(id, [{ volumeId: rootVolume, slot: 0, chain }]))
      await goesOn()
    } finally {
      await endProcess(server)
    }
  })
})

describe('a base that has become local', () => {
  it('takes the place of the served one under a running guest, which needs the block server no more', async () => {
    const { spec, server, raw } = await machineOnBase(256 * 1024 * 1024)
    const [disk] = spec.disks
    const lowest = disk!.chain.layers[0]!
    try {
      await driver.start(spec)
      await goesOn()
      // With one layer, and again where a frozen one lies under the top.
      const newLayerPath = join(harness.folder, 'above.qcow2')
      await harness.tools.createLayer(newLayerPath, 256 * 1024 * 1024, null)
      await driver.freeze(id, [{ volumeId: rootVolume, newLayerPath }])
      await goesOn()
      const local = { ...disk!, chain: { base: { path: raw }, layers: [lowest, newLayerPath], key: null } }
      await driver.localizeBase(id, local)
      await driver.localizeBase(id, local)
      await endProcess(server)
      const before = (await harness.tools.usage([newLayerPath])).localBytes
      await goesOn(20)
      expect(await consoleText()).not.toContain('tick!')
      // What it reads lies on this host already, and is not kept a second time.
      expect((await harness.tools.usage([newLayerPath])).localBytes - before).toBeLessThanOrEqual(64 * 1024)
    } finally {
      await endProcess(server)
    }
  })

  it('does so under a disk of one layer, too', async () => {
    const { spec, server, raw } = await machineOnBase(256 * 1024 * 1024)
    const [disk] = spec.disks
    try {
      await driver.start(spec)
      await goesOn()
      await driver.localizeBase(id, { ...disk!, chain: { ...disk!.chain, base: { path: raw } } })
      await endProcess(server)
      await goesOn(20)
      expect(await consoleText()).not.toContain('tick!')
    } finally {
      await endProcess(server)
    }
  })
})

describe('trouble of the host', () => {
  it('goes on after the block server was killed and came back', async () => {
    const { spec, server, raw, socketPath } = await machineOnBase(256 * 1024 * 1024)
    await driver.start(spec)
    await goesOn()
    signalProcess(server, 'SIGKILL')
    await waitFor(systemClock, () => (isAlive(server) ? undefined : true), timing)
    // A read that was under way may still come to its end, then nothing more does.
    await systemClock.sleep(300)
    const stuck = await ticks()
    await systemClock.sleep(700)
    expect(await ticks()).toBe(stuck)
    expect(await driver.inspect(id)).toMatchObject({ state: 'running' })
    const again = await serveRaw(raw, socketPath, harness.folder)
    try {
      await goesOn()
      expect(await consoleText()).not.toContain('tick!')
    } finally {
      await endProcess(again)
    }
  })

  it('pauses a guest when the host has no space, and lets it go on once there is some', async () => {
    // The machine runs in mount and network namespaces of its own, where its second disk lies on a full file system.
    const root = await harness.disk(rootVolume, 0, {})
    const empty = await harness.newLayer(dataVolume)
    const small = join(harness.folder, 'small')
    await mkdir(small)
    const data = { volumeId: dataVolume, slot: 1, chain: { base: null, layers: [join(small, 'disk')], key: null } }
    const fill = [
      `mount -t tmpfs -o size=1m tmpfs ${small}`,
      `cp --sparse=always ${empty} ${small}/disk`,
      `! dd if=/dev/zero of=${small}/ballast bs=4k`,
      'exec "$0" "$@"',
    ]
    const enter = ['unshare', '--user', '--map-root-user', '--mount', '--net', 'sh', '-c', fill.join(' && ')]
    const spec = harness.machine(id, [root, data])
    await driver.start({ ...spec, nic: { ...spec.nic, attachment: { kind: 'tap', ifname: 'tap0', enter } } })
    const paused = await waitFor(
      systemClock,
      async () => {
        const status = await driver.inspect(id)
        return status.state === 'paused' ? status : undefined
      },
      timing,
    )
    expect(paused?.reason).toBe(`disk ${dataVolume.replace('-', '')}: the host has no space left`)
    expect(await ticks()).toBe(0)
    const inside = ['--user', '--preserve-credentials', '--mount', '--target', String(paused!.pid)]
    await run('nsenter', [...inside, 'rm', join(small, 'ballast')])
    await goesOn()
    expect(await driver.inspect(id)).toMatchObject({ state: 'running' })
  })

  it('says of a QEMU that does not answer that it does not, and ends it nevertheless', async () => {
    await driver.start(harness.machine(id, [await harness.disk(rootVolume, 0, {})]))
    const status = await driver.inspect(id)
    const pid = 'pid' in status ? status.pid! : 0
    process.kill(pid, 'SIGSTOP')
    const reason = expect.stringContaining('QEMU does not answer')
    expect(await driver.inspect(id)).toEqual({ state: 'paused', pid, reason })
    await driver.destroy(id)
    expect(startTicksOf(pid)).toBeUndefined()
    expect(await driver.list()).toEqual([])
  })

  it('refuses a disk that another machine holds', async () => {
    const disk = await harness.disk(rootVolume, 0, {})
    await driver.start(harness.machine(id, [disk]))
    const other = 'i-0000000000000000b'
    await expect(driver.start(harness.machine(other, [disk]))).rejects.toThrow(/did not start.*lock/)
    expect(await driver.list()).toEqual([id])
  })
})

describe('a daemon that is killed while it starts a machine', () => {
  it('has started it once or not at all, and the next one starts it once', async () => {
    const seed = Number(process.env.KILN_SEED ?? 20_061)
    const random = seededRandom(seed)
    const specFile = join(harness.folder, 'spec.json')
    const readyFile = join(harness.folder, 'ready')
    const spec = harness.machine(id, [await harness.disk(rootVolume, 0, {})])
    await writeFile(specFile, JSON.stringify(spec))
    for (let round = 0; round < 12; round += 1) {
      await rm(readyFile, { force: true })
      const starter = await startDetached(
        process.execPath,
        [
          join(import.meta.dirname, 'test-starter.ts'),
          harness.runDir,
          join(harness.folder, 'machines'),
          specFile,
          readyFile,
        ],
        { logPath: join(harness.folder, 'starter.log') },
      )
      await waitFor(systemClock, () => (existsSync(readyFile) ? true : undefined), { everyMs: 1, timeoutMs: 20_000 })
      await systemClock.sleep(randomInt(random, 120))
      signalProcess(starter, 'SIGKILL')

      const next = await harness.open()
      try {
        await next.start(spec)
        const what = `seed ${seed}, round ${round}`
        expect(await next.inspect(id), what).toMatchObject({ state: 'running' })
        // One that the killed daemon had forked and not executed yet may still come. It finds the pid file locked and ends.
        const pidFile = join(harness.runDir, `${id}.pid`)
        const pids = () =>
          processesWith((argument) => (argument === pidFile ? argument : undefined)).map(({ ref }) => ref.pid)
        await waitFor(systemClock, () => (pids().length === 1 ? true : undefined), timing)
        expect(pids(), what).toHaveLength(1)
        expect(await next.inspect(id), what).toMatchObject({ state: 'running', pid: pids()[0] })
        await next.destroy(id)
        expect(await next.list(), what).toEqual([])
      } finally {
        await next.close()
      }
    }
  })
})

it('leaves a machine alone that is still starting when the daemon goes', async () => {
  const spec = harness.machine(id, [await harness.disk(rootVolume, 0, {})])
  const start = driver.start(spec).catch((error: Error) => error)
  await waitFor(systemClock, async () => ((await driver.list()).length > 0 ? true : undefined), {
    ...timing,
    everyMs: 1,
  })
  await driver.close()
  await start
  driver = await harness.open()
  expect(await driver.list()).toEqual([id])
  await goesOn()
  expect((await consoleText()).match(/boot/g)).toHaveLength(1)
})

it('refuses a run folder whose sockets would have too long a path', async () => {
  const runDir = join(harness.folder, 'x'.repeat(100))
  const host = { accelerator: 'tcg', sandbox: true } as const
  const options = { runDir, machinesDir: harness.folder, host, clock: systemClock, log: silentLog }
  await expect(createQemuDriver(options)).rejects.toThrow('too long a path')
})
