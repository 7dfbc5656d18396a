/** What a test can rely on beyond `driver.suite.ts`: the injected clock alone decides when things happen. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import type { MachineSpec } from '../driver.ts'
import { createSimulatedDriver, type SimulatedDriver } from './driver.ts'

/** Stands still until a test moves it. */
class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000
  #sleepers: { atMs: number; wake: () => void }[] = []

  now(): number {
    return this.#nowMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.#sleepers.push({ atMs: this.#nowMs + ms, wake: resolve })
    })
  }

  pass(ms: number): void {
    this.#nowMs += ms
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.#nowMs)
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { wake } of due) wake()
  }

  get sleepers(): number {
    return this.#sleepers.length
  }
}

const id = 'i-0000000000000000a'
const spec: MachineSpec = {
  id,
  vcpus: 1,
  memoryMib: 512,
  instanceType: 't3.nano',
  disks: [],
  nic: { mac: '02:00:00:00:00:01', attachment: { kind: 'none' } },
}

let machinesDir: string
let clock: ManualClock
let driver: SimulatedDriver

beforeEach(async () => {
  machinesDir = await mkdtemp(join(tmpdir(), 'kiln-simulated-'))
  clock = new ManualClock()
  driver = await createSimulatedDriver({ machinesDir, clock })
})
afterEach(async () => {
  await driver.close()
  await rm(machinesDir, { recursive: true, force: true })
})

async function started(): Promise<void> {
  const start = driver.start(spec)
  await vi.waitFor(() => expect(clock.sleepers).toBe(1))
  expect(await driver.inspect(id)).toEqual({ state: 'absent' })
  clock.pass(20)
  await start
}

it('starts, and switches off, when its clock says so', async () => {
  await started()
  await driver.pressPowerButton(id)
  clock.pass(99)
  expect(await driver.inspect(id)).toEqual({ state: 'running', pid: null })
  const changed = vi.fn()
  driver.onChange(changed)
  clock.pass(1)
  expect(await driver.inspect(id)).toMatchObject({ state: 'shutdown', pid: null })
  await vi.waitFor(() => expect(changed).toHaveBeenCalledWith(id))
})

it('dates the console by its clock', async () => {
  await started()
  expect((await driver.consoleOutput(id, 1000))?.text).toBe(
    '[2023-11-14T22:13:20.020Z] simulated t3.nano: 1 vCPU, 512 MiB\r\n[2023-11-14T22:13:20.020Z] simulated guest: ready\r\n',
  )
})

it('goes on switching off in the next daemon', async () => {
  await started()
  await driver.pressPowerButton(id)
  await driver.close()
  driver = await createSimulatedDriver({ machinesDir, clock })
  const changed = vi.fn()
  driver.onChange(changed)
  clock.pass(100)
  await vi.waitFor(() => expect(changed).toHaveBeenCalledWith(id))
  expect(await driver.inspect(id)).toMatchObject({ state: 'shutdown', pid: null })
})

it('fails one start, when told to', async () => {
  driver.faults.failNextStart('no memory')
  const start = driver.start(spec)
  const failed = expect(start).rejects.toThrow(`${id} did not start: no memory`)
  await vi.waitFor(() => expect(clock.sleepers).toBe(1))
  clock.pass(20)
  await failed
  await started()
})
