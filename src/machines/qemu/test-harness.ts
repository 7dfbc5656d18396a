/** Real machines for tests: folders of their own, disks that boot the test guest, and nothing left at the end. */
import { existsSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { type ProcessRef, run, startDetached } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import type { DriverHarness } from '../driver.suite.ts'
import type { DiskKey, MachineDisk, MachineDriver, MachineSpec } from '../driver.ts'
import { createDiskTools, type HostDiskTools } from './disk-tools.ts'
import { createQemuDriver } from './driver.ts'
import { bootSector, type TestGuest } from './test-guest.ts'

export const testDiskBytes = 64 * 1024 * 1024

export interface QemuHarness extends DriverHarness {
  folder: string
  runDir: string
  tools: HostDiskTools
  /** A raw file with the guest in its first sector. */
  rawDisk(name: string, guest: TestGuest, sizeBytes?: number): Promise<string>
  /** A disk of one layer that holds everything, sealed when there is a key. */
  disk(volumeId: string, slot: number, guest: TestGuest, key?: DiskKey | null): Promise<MachineDisk>
  machine(id: string, disks: readonly MachineDisk[]): MachineSpec
}

export async function createQemuHarness(): Promise<QemuHarness> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-qemu-'))
  const runDir = join(folder, 'run')
  const tools = createDiskTools({ runDir, clock: systemClock, random: systemRandom, log: silentLog })

  async function rawDisk(name: string, guest: TestGuest, sizeBytes = testDiskBytes): Promise<string> {
    const path = join(folder, `${name}.raw`)
    const file = await open(path, 'w')
    await file.truncate(sizeBytes)
    await file.write(bootSector(guest), 0, undefined, 0)
    await file.close()
    return path
  }

  async function disk(
    volumeId: string,
    slot: number,
    guest: TestGuest,
    key: DiskKey | null = null,
  ): Promise<MachineDisk> {
    const raw = await rawDisk(volumeId, guest)
    const layer = join(folder, `${volumeId}.qcow2`)
    if (key) await writeSealed(layer, raw, key)
    else await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', raw, layer])
    await rm(raw)
    return { volumeId, slot, chain: { base: null, layers: [layer], key } }
  }

  async function writeSealed(layer: string, raw: string, key: DiskKey): Promise<void> {
    await tools.createLayer(layer, testDiskBytes, key)
    const target = await tools.openForWriting(layer, testDiskBytes, key)
    const options = `driver=nbd,server.type=unix,server.path=${target.socketPath},export=${target.exportName}`
    await run('qemu-img', ['convert', '-q', '-n', '-f', 'raw', '--target-image-opts', raw, options])
    await target.close()
  }

  function machine(id: string, disks: readonly MachineDisk[]): MachineSpec {
    const nic = { mac: '02:00:00:00:00:01', attachment: { kind: 'none' } } as const
    return { id, vcpus: 1, memoryMib: 64, instanceType: 't3.nano', disks, nic }
  }

  async function openDriver(): Promise<MachineDriver> {
    const host = { accelerator: 'tcg', sandbox: true } as const
    const machinesDir = join(folder, 'machines')
    return await createQemuDriver({ runDir, machinesDir, host, clock: systemClock, log: silentLog })
  }

  async function pidOf(driver: MachineDriver, id: string): Promise<number> {
    const status = await driver.inspect(id)
    if (status.state === 'absent' || status.pid === null) throw new Error(`${id} has no process`)
    return status.pid
  }

  return {
    folder,
    runDir,
    tools,
    rawDisk,
    disk,
    machine,
    machineFolder: (id) => join(folder, 'machines', id),
    open: openDriver,
    bootLine: /boot\r\n/,
    spec: async (id, wish = {}) => {
      const volumeIds = Array.from({ length: wish.disks ?? 1 }, (_, slot) =>
        `vol-${id.slice(-8)}${slot}`.padEnd(21, '0'),
      )
      const disks = volumeIds.map((volumeId, slot) =>
        disk(volumeId, slot, { ignoresPowerButton: wish.ignoresPowerButton }, wish.key),
      )
      return machine(id, await Promise.all(disks))
    },
    newLayer: async (name, key) => {
      const path = join(folder, `${name}.top.qcow2`)
      await tools.createLayer(path, testDiskBytes, key ?? null)
      return path
    },
    broken: async (_driver, spec) => {
      const missing: MachineDisk = {
        ...spec.disks[0]!,
        chain: { base: null, layers: [join(folder, 'missing.qcow2')], key: null },
      }
      return { spec: { ...spec, disks: [missing] }, reason: /did not start.*missing\.qcow2.*No such file/ }
    },
    // A guest without an operating system hears of nothing.
    clingTo: async () => {},
    switchOff: async (driver, id) => driver.pressPowerButton(id),
    crash: async (driver, id) => {
      process.kill(await pidOf(driver, id), 'SIGKILL')
    },
    cleanUp: async () => {
      await tools.reapStale()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const ticking = { everyMs: 20, timeoutMs: 20_000 }

/** How often the test guest has ticked, as far as its console tells. */
export async function ticksOf(driver: MachineDriver, id: string): Promise<number> {
  return (await driver.consoleOutput(id, 64 * 1024))?.text.match(/tick\./g)?.length ?? 0
}

/** Waits until the guest has ticked that often more; throws with what became of the machine when it does not. */
export async function goesOn(driver: MachineDriver, id: string, more = 3): Promise<void> {
  const goal = (await ticksOf(driver, id)) + more
  const hasGone = async () => ((await ticksOf(driver, id)) >= goal ? true : undefined)
  if (await waitFor(systemClock, hasGone, ticking)) return
  throw new Error(`the guest of ${id} does not go on: ${JSON.stringify(await driver.inspect(id))}`)
}

/** A block server with one export, `base`, as the real one: it can be killed and started again. */
export async function serveRaw(raw: string, socketPath: string, folder: string): Promise<ProcessRef> {
  await rm(socketPath, { force: true })
  const args = [
    '--persistent',
    '--read-only',
    '--shared=8',
    '--format=raw',
    '--export-name=base',
    '--socket',
    socketPath,
    raw,
  ]
  const server = await startDetached('qemu-nbd', args, { logPath: join(folder, 'nbd.log') })
  await waitFor(systemClock, () => (existsSync(socketPath) ? true : undefined), { everyMs: 20, timeoutMs: 20_000 })
  return server
}
