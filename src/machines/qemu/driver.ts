/** Machines as QEMU processes. */
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { isId } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { MachineDriver } from '../driver.ts'
import { type HostFacts, machinePaths } from './argv.ts'
import { QemuMachine } from './machine.ts'
import { processesWith } from './process-table.ts'

export interface QemuDriverOptions {
  /** Sockets and pid files; its path must be short, because a socket's path is bounded by the kernel. */
  runDir: string
  /** One folder a machine: console and QEMU's own messages. */
  machinesDir: string
  /** From `probeHost`. */
  host: HostFacts
  clock: Clock
  log: Log
}

/** The kernel's bound for the path of a unix socket, without the closing zero. */
const socketPathBytes = 107
const longestId = 'i-0123456789abcdef0'
const upkeepEveryMs = 5_000

/** Adopts, in the background, whatever machines of that `runDir` are running already. */
export async function createQemuDriver(options: QemuDriverOptions): Promise<MachineDriver> {
  const { runDir, machinesDir, host, clock, log } = options
  const longestSocket = machinePaths(runDir, machinesDir, longestId).agentSocket
  if (Buffer.byteLength(longestSocket) > socketPathBytes) {
    throw new Error(`${runDir} is too long a path: its sockets would be longer than ${socketPathBytes} bytes`)
  }
  await Promise.all([runDir, machinesDir].map((folder) => mkdir(folder, { recursive: true, mode: 0o700 })))

  const machines = new Map<string, QemuMachine>()
  const listeners = new Set<(id: string) => void>()
  const closing = new AbortController()

  function machine(id: string): QemuMachine {
    const known = machines.get(id)
    if (known) return known
    // The id becomes a file's name and part of QEMU's options.
    if (!isId('instance', id)) throw new Error(`${id} is not an instance id`)
    const changed = () => {
      for (const listener of listeners) listener(id)
    }
    const context = { clock, log, host, closed: closing.signal, changed }
    const created = new QemuMachine(id, machinePaths(runDir, machinesDir, id), context)
    machines.set(id, created)
    return created
  }

  function runningIds(): string[] {
    const found = processesWith((argument) => {
      if (dirname(argument) !== runDir || !argument.endsWith('.pid')) return undefined
      const id = basename(argument, '.pid')
      return isId('instance', id) ? id : undefined
    })
    return [...new Set(found.map(({ value }) => value))].sort()
  }

  async function keepUp(): Promise<void> {
    while (!closing.signal.aborted) {
      await clock.sleep(upkeepEveryMs, closing.signal)
      for (const each of machines.values()) {
        await each.upkeep().catch((error) => log.warn({ machine: each.id, error: messageOf(error) }, 'upkeep failed'))
      }
    }
  }

  for (const id of runningIds()) {
    machine(id)
      .adopt()
      .catch((error) => log.warn({ machine: id, error: messageOf(error) }, 'a running machine does not answer'))
  }
  keepUp().catch(() => {})

  return {
    kind: 'qemu',
    accelerator: host.accelerator,
    bootConcurrency: availableParallelism(),
    start: (spec) => machine(spec.id).start(spec),
    inspect: async (id) => machine(id).inspect(),
    list: async () => runningIds(),
    pressPowerButton: async (id) => machine(id).pressPowerButton(),
    reset: async (id) => machine(id).reset(),
    destroy: async (id) => machine(id).destroy(),
    forget: async (id) => {
      await machine(id).forget()
      machines.delete(id)
    },
    consoleOutput: async (id, maxBytes) => machine(id).consoleOutput(maxBytes),
    screen: async (id, options) => machine(id).screen(options),
    freeze: async (id, tops, options = { quiesce: false }) => machine(id).freeze(tops, options),
    plugDisk: async (id, disk) => machine(id).plugDisk(disk),
    plugNic: async (id, nic) => machine(id).plugNic(nic),
    unplugNic: async (id, index, options) => machine(id).unplugNic(index, options),
    unplugDisk: async (id, volumeId, options) => machine(id).unplugDisk(volumeId, options),
    resizeDisk: async (id, volumeId, sizeBytes) => machine(id).resizeDisk(volumeId, sizeBytes),
    limitDisk: async (id, volumeId, limits) => machine(id).limitDisk(volumeId, limits),
    localizeBase: async (id, disk) => machine(id).localizeBase(disk),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: async () => {
      closing.abort(new Error('the machine driver was closed'))
      for (const each of machines.values()) each.close()
    },
  }
}
