import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../lib/clock.ts'
import { type DriverHarness, machineDriverSuite } from './driver.suite.ts'
import type { MachineDriver } from './driver.ts'
import { createQemuHarness } from './qemu/test-harness.ts'
import { createSimulatedDriver, type SimulatedDriver } from './simulated/driver.ts'

machineDriverSuite('qemu', createQemuHarness)

machineDriverSuite('simulated', async (): Promise<DriverHarness> => {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-simulated-'))
  let driver: SimulatedDriver | undefined
  const faultsOf = (driver: MachineDriver) => (driver as SimulatedDriver).faults
  return {
    bootLine: /guest: ready\r\n/,
    open: async () => {
      driver = await createSimulatedDriver({ machinesDir: folder, clock: systemClock })
      return driver
    },
    spec: async (id, wish = {}) => {
      if (wish.ignoresPowerButton) driver?.faults.ignorePowerButton(id)
      const disks = Array.from({ length: wish.disks ?? 1 }, (_, slot) => {
        const volumeId = `vol-${slot}`.padEnd(21, '0')
        return {
          volumeId,
          slot,
          chain: { base: null, layers: [join(folder, `${volumeId}.qcow2`)], key: wish.key ?? null },
        }
      })
      const nic = { mac: '02:00:00:00:00:01', attachment: { kind: 'none' } } as const
      return { id, vcpus: 1, memoryMib: 512, instanceType: 't3.nano', disks, nic }
    },
    machineFolder: (id) => join(folder, id),
    newLayer: async (name) => join(folder, `${name}.top.qcow2`),
    broken: async (driver, spec) => {
      faultsOf(driver).failNextStart('the host is on fire')
      return { spec, reason: /did not start: the host is on fire/ }
    },
    clingTo: async (driver, volumeId) => faultsOf(driver).clingTo(volumeId),
    switchOff: (driver, id) => faultsOf(driver).switchOff(id),
    crash: (driver, id) => faultsOf(driver).vanish(id),
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  }
})
