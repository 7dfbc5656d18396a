/**
 * Machines that only seem to run: for tests of the API and for scale. They keep to the same rules as real ones, survive
 * the process that started them, and do everything by the injected clock, so that a test decides when a guest is done.
 *
 * A machine is a small file in its own folder. It holds times, not timers: what the machine is now follows from them.
 */
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { isId } from '../../lib/ids.ts'
import { readConsole, trimConsole } from '../console-file.ts'
import type { MachineDisk, MachineDriver, MachineSpec, MachineStatus } from '../driver.ts'

export interface SimulatedDriverOptions {
  machinesDir: string
  clock: Clock
  /** Grows the file that a disk is written to, which nobody holds here; without it only the record changes. */
  growLayer?: (path: string, sizeBytes: number) => Promise<void>
}

/** What a test can make go wrong. None of it outlives this driver. */
export interface SimulatedFaults {
  /** The next start of any machine fails with this reason. */
  failNextStart(reason: string): void
  /** That guest does nothing about its power button. */
  ignorePowerButton(id: string): void
  /** The guest that has that volume does not let go of it. */
  clingTo(volumeId: string): void
  /** The machine is gone from one moment to the next, as after a crash. */
  vanish(id: string): Promise<void>
  /** The guest switches itself off. */
  switchOff(id: string): Promise<void>
}

export interface SimulatedDriver extends MachineDriver {
  readonly faults: SimulatedFaults
}

interface SimulatedMachine {
  spec: MachineSpec
  /** The layer that each disk is written to, by volume. */
  tops: Record<string, string>
  /** When the guest will have switched itself off (ms); null while nobody asked it to. */
  offAtMs: number | null
}

const readyLine = 'simulated guest: ready'
const startDelayMs = 20
/** From the power button to the end. */
const shutdownDelayMs = 100
/** Simulated guests cost nothing; this only bounds how many files are written at once. */
const bootConcurrency = 64

export async function createSimulatedDriver(options: SimulatedDriverOptions): Promise<SimulatedDriver> {
  const { machinesDir, clock } = options
  await mkdir(machinesDir, { recursive: true, mode: 0o700 })
  const listeners = new Set<(id: string) => void>()
  const closing = new AbortController()
  const starting = new Map<string, AbortController>()
  const queues = new Map<string, Promise<unknown>>()
  const deaf = new Set<string>()
  const clinging = new Set<string>()
  let startFailure: string | undefined

  const consolePath = (id: string) => join(machinesDir, folderOf(id), 'console.log')
  const recordPath = (id: string) => join(machinesDir, folderOf(id), 'machine.json')

  function changed(id: string): void {
    for (const listener of listeners) listener(id)
  }

  /** Changes of one machine never overlap. */
  function serially<T>(id: string, work: () => Promise<T>): Promise<T> {
    const result = (queues.get(id) ?? Promise.resolve()).then(work)
    queues.set(
      id,
      result.catch(() => {}),
    )
    return result
  }

  async function load(id: string): Promise<SimulatedMachine | undefined> {
    try {
      return JSON.parse(await readFile(recordPath(id), 'utf8')) as SimulatedMachine
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async function save(id: string, machine: SimulatedMachine): Promise<void> {
    await writeFile(`${recordPath(id)}.new`, JSON.stringify(withoutKeys(machine), null, 2))
    await rename(`${recordPath(id)}.new`, recordPath(id))
  }

  async function print(id: string, line: string): Promise<void> {
    await appendFile(consolePath(id), `[${new Date(clock.now()).toISOString()}] ${line}\r\n`)
    await trimConsole(consolePath(id))
  }

  async function running(id: string, purpose: string): Promise<SimulatedMachine> {
    const machine = await load(id)
    if (!machine) throw new Error(`${id} has no process: nobody can ${purpose}`)
    return machine
  }

  /** Tells listeners when the guest is off. */
  function announceEnd(id: string, offAtMs: number): void {
    clock.sleep(Math.max(0, offAtMs - clock.now()), closing.signal).then(
      () => changed(id),
      () => {},
    )
  }

  async function powerOffAt(id: string, machine: SimulatedMachine, offAtMs: number): Promise<void> {
    await save(id, { ...machine, offAtMs })
    await print(id, 'simulated guest: switching off')
    announceEnd(id, offAtMs)
  }

  async function inspect(id: string): Promise<MachineStatus> {
    const machine = await load(id)
    if (!machine) return { state: 'absent' }
    const isOff = machine.offAtMs !== null && machine.offAtMs <= clock.now()
    return isOff ? { state: 'shutdown', pid: null, sinceMs: machine.offAtMs } : { state: 'running', pid: null }
  }

  async function start(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    if ((await inspect(spec.id)).state === 'running') return
    await clock.sleep(startDelayMs, signal)
    const failure = startFailure
    startFailure = undefined
    if (failure !== undefined) throw new Error(`${spec.id} did not start: ${failure}`)
    await mkdir(join(machinesDir, folderOf(spec.id)), { recursive: true })
    const tops = Object.fromEntries(spec.disks.map((disk) => [disk.volumeId, disk.chain.layers.at(-1)!]))
    await save(spec.id, { spec, tops, offAtMs: null })
    await print(spec.id, `simulated ${spec.instanceType}: ${spec.vcpus} vCPU, ${spec.memoryMib} MiB`)
    await print(spec.id, readyLine)
    changed(spec.id)
  }

  function changeDisk(
    id: string,
    volumeId: string,
    purpose: string,
    change: (disk: MachineDisk, top: string) => Promise<MachineDisk>,
  ): Promise<void> {
    return serially(id, async () => {
      const machine = await running(id, purpose)
      const present = machine.spec.disks.find((disk) => disk.volumeId === volumeId)
      if (!present) throw new Error(`the machine has no disk ${volumeId}`)
      const changed = await change(present, machine.tops[volumeId]!)
      const disks = machine.spec.disks.map((disk) => (disk === present ? changed : disk))
      await save(id, { ...machine, spec: { ...machine.spec, disks } })
    })
  }

  async function list(): Promise<string[]> {
    const ids = (await readdir(machinesDir)).filter((name) => isId('instance', name))
    const alive = await Promise.all(ids.map(async (id) => ((await load(id)) ? [id] : [])))
    return alive.flat().sort()
  }

  for (const id of await list()) {
    const offAtMs = (await load(id))?.offAtMs
    if (typeof offAtMs === 'number') announceEnd(id, offAtMs)
  }

  return {
    kind: 'simulated',
    accelerator: null,
    bootConcurrency,
    inspect,
    list,
    start: (spec) =>
      serially(spec.id, async () => {
        const own = new AbortController()
        starting.set(spec.id, own)
        try {
          await start(spec, AbortSignal.any([own.signal, closing.signal]))
        } finally {
          starting.delete(spec.id)
        }
      }),
    pressPowerButton: (id) =>
      serially(id, async () => {
        const machine = await load(id)
        if (!machine || machine.offAtMs !== null || deaf.has(id)) return
        await powerOffAt(id, machine, clock.now() + shutdownDelayMs)
      }),
    reset: (id) =>
      serially(id, async () => {
        const machine = await running(id, 'reset it')
        if ((await inspect(id)).state === 'shutdown') {
          throw new Error(`${id} switched itself off: it can be destroyed, not reset`)
        }
        await save(id, { ...machine, offAtMs: null })
        await print(id, readyLine)
        changed(id)
      }),
    destroy: async (id) => {
      starting.get(id)?.abort(new Error(`${id} did not start: it was destroyed meanwhile`))
      await serially(id, async () => {
        deaf.delete(id)
        if (!(await load(id))) return
        await rm(recordPath(id), { force: true })
        changed(id)
      })
    },
    forget: (id) =>
      serially(id, async () => {
        if (await load(id)) throw new Error(`${id} still has a process: destroy it first`)
        await rm(join(machinesDir, folderOf(id)), { recursive: true, force: true })
      }),
    consoleOutput: async (id, maxBytes) => readConsole(consolePath(id), maxBytes),
    screen: async (id) => {
      await running(id, 'look at its screen')
      return null
    },
    freeze: (id, tops) =>
      serially(id, async () => {
        const machine = await running(id, 'freeze its disks')
        const unknown = tops.find(({ volumeId }) => !(volumeId in machine.tops))
        if (unknown) throw new Error(`the machine has no disk ${unknown.volumeId}`)
        const newTops = Object.fromEntries(tops.map(({ volumeId, newLayerPath }) => [volumeId, newLayerPath]))
        await save(id, { ...machine, tops: { ...machine.tops, ...newTops } })
        // No agent lives in what only seems to run.
        return { quiesced: false }
      }),
    plugDisk: (id, disk) =>
      serially(id, async () => {
        const machine = await running(id, 'plug a disk in')
        const { disks } = machine.spec
        if (disks.some((present) => present.volumeId === disk.volumeId)) return
        if (disks.some((present) => present.slot === disk.slot)) throw new Error(`slot ${disk.slot} of ${id} is taken`)
        const tops = { ...machine.tops, [disk.volumeId]: disk.chain.layers.at(-1)! }
        await save(id, { ...machine, tops, spec: { ...machine.spec, disks: [...disks, disk] } })
        await print(id, `simulated guest: disk ${disk.volumeId} came`)
      }),
    unplugDisk: (id, volumeId, { force }) =>
      serially(id, async () => {
        const machine = await running(id, 'unplug its disks')
        const disks = machine.spec.disks.filter((disk) => disk.volumeId !== volumeId)
        if (disks.length === machine.spec.disks.length) return true
        if (clinging.has(volumeId) && !force) return false
        const { [volumeId]: _, ...tops } = machine.tops
        await save(id, { ...machine, tops, spec: { ...machine.spec, disks } })
        await print(id, `simulated guest: disk ${volumeId} went`)
        return true
      }),
    plugNic: (id, nic) =>
      serially(id, async () => {
        const machine = await running(id, 'plug a network card in')
        const { moreNics = [] } = machine.spec
        if (moreNics.some((present) => present.index === nic.index)) return
        await save(id, { ...machine, spec: { ...machine.spec, moreNics: [...moreNics, nic] } })
        await print(id, `simulated guest: network card ${nic.index} came`)
      }),
    unplugNic: (id, index) =>
      serially(id, async () => {
        const machine = await running(id, 'unplug its network cards')
        const moreNics = (machine.spec.moreNics ?? []).filter((nic) => nic.index !== index)
        await save(id, { ...machine, spec: { ...machine.spec, moreNics } })
        return true
      }),
    resizeDisk: (id, volumeId, sizeBytes) =>
      changeDisk(id, volumeId, 'grow its disks', async (disk, top) => {
        await options.growLayer?.(top, sizeBytes)
        return disk
      }),
    limitDisk: (id, volumeId, limits) =>
      changeDisk(id, volumeId, 'limit its disks', async (disk) => ({ ...disk, limits })),
    localizeBase: (id, disk) => changeDisk(id, disk.volumeId, 'change its disks', async () => disk),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: async () => closing.abort(new Error('the machine driver was closed')),
    faults: {
      failNextStart: (reason) => {
        startFailure = reason
      },
      ignorePowerButton: (id) => {
        deaf.add(id)
      },
      clingTo: (volumeId) => {
        clinging.add(volumeId)
      },
      vanish: async (id) => {
        await rm(recordPath(id), { force: true })
        changed(id)
      },
      switchOff: (id) => serially(id, async () => powerOffAt(id, await running(id, 'switch it off'), clock.now())),
    },
  }
}

/** What may be written down: nothing of this driver's needs the keys of disks. */
function withoutKeys({ spec, ...machine }: SimulatedMachine): SimulatedMachine {
  const disks = spec.disks.map((disk) => ({ ...disk, chain: { ...disk.chain, key: null } }))
  return { ...machine, spec: { ...spec, disks } }
}

/** The id becomes a folder's name. */
function folderOf(id: string): string {
  if (!isId('instance', id)) throw new Error(`${id} is not an instance id`)
  return id
}
