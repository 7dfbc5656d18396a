/**
 * What every machine driver must do. A driver adopts it with a {@link DriverHarness}; see `driver.test.ts`.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock, waitFor } from '../lib/clock.ts'
import { systemRandom } from '../lib/random.ts'
import type { DiskKey, MachineDriver, MachineSpec, MachineStatus } from './driver.ts'

export interface GuestWish {
  ignoresPowerButton?: boolean
  /** How many disks; one when not said. */
  disks?: number
  /** What the disks are sealed with. */
  key?: DiskKey
}

export interface DriverHarness {
  /** A driver on this harness's folders, as after a restart of the daemon when it is not the first. */
  open(): Promise<MachineDriver>
  /** A machine with a guest that boots within seconds, and the files that it needs. */
  spec(id: string, wish?: GuestWish): Promise<MachineSpec>
  /** Makes an empty layer for a disk and tells its path. */
  newLayer(name: string, key?: DiskKey): Promise<string>
  /** Where the driver keeps what it must know of a machine. */
  machineFolder(id: string): string
  /** The same machine, or its host, made so that the next start fails; and a part of the reason that must be told. */
  broken(driver: MachineDriver, spec: MachineSpec): Promise<{ spec: MachineSpec; reason: RegExp }>
  /** Makes sure that the guest does not let go of that disk. */
  clingTo(driver: MachineDriver, volumeId: string): Promise<void>
  /** Makes the guest switch itself off. */
  switchOff(driver: MachineDriver, id: string): Promise<void>
  /** Ends the machine behind the driver's back. */
  crash(driver: MachineDriver, id: string): Promise<void>
  /** What the guest prints once at each boot. */
  bootLine: RegExp
  /** Ends whatever is left. */
  cleanUp(): Promise<void>
}

const first = 'i-00000000000000001'
const second = 'i-00000000000000002'
const timing = { everyMs: 20, timeoutMs: 15_000 }

export function machineDriverSuite(name: string, createHarness: () => Promise<DriverHarness>): void {
  describe(`machine driver: ${name}`, () => {
    let harness: DriverHarness
    let driver: MachineDriver

    beforeEach(async () => {
      harness = await createHarness()
      driver = await harness.open()
    })
    afterEach(async () => {
      await Promise.all((await driver.list()).map((id) => driver.destroy(id)))
      await driver.close()
      await harness.cleanUp()
    })

    async function reaches(state: MachineStatus['state'], id = first): Promise<MachineStatus> {
      const last: MachineStatus[] = []
      await waitFor(
        systemClock,
        async () => {
          last[0] = await driver.inspect(id)
          return last[0].state === state ? true : undefined
        },
        timing,
      )
      expect(last[0]).toMatchObject({ state })
      return last[0]!
    }

    async function boots(times: number, id = first): Promise<void> {
      let text = ''
      const count = () => text.match(new RegExp(harness.bootLine, 'g'))?.length ?? 0
      await waitFor(
        systemClock,
        async () => {
          text = (await driver.consoleOutput(id, 64 * 1024))?.text ?? ''
          return count() >= times ? true : undefined
        },
        timing,
      )
      expect(count(), text).toBe(times)
    }

    async function reopen(): Promise<void> {
      await driver.close()
      driver = await harness.open()
    }

    it('starts a machine once, however often it is asked', async () => {
      const spec = await harness.spec(first)
      await driver.start(spec)
      const status = await driver.inspect(first)
      expect(status).toMatchObject({ state: 'running' })
      await Promise.all([driver.start(spec), driver.start(spec)])
      expect(await driver.inspect(first)).toEqual(status)
      expect(await driver.list()).toEqual([first])
      await boots(1)
    })

    it('knows nothing of a machine that never was, and lets it be destroyed', async () => {
      expect(await driver.inspect(first)).toEqual({ state: 'absent' })
      expect(await driver.list()).toEqual([])
      expect(await driver.consoleOutput(first, 1024)).toBeNull()
      await driver.pressPowerButton(first)
      await driver.destroy(first)
      await driver.forget(first)
      await expect(driver.reset(first)).rejects.toThrow(first)
      await expect(driver.freeze(first, [])).rejects.toThrow(first)
    })

    it('refuses an id that is no instance id', async () => {
      const spec = await harness.spec(first)
      const id = '../i-00000000000000001'
      await expect(async () => driver.start({ ...spec, id })).rejects.toThrow('is not an instance id')
      await expect(async () => driver.forget(id)).rejects.toThrow('is not an instance id')
    })

    it('switches a guest off by its power button, and keeps that state until it is collected', async () => {
      await driver.start(await harness.spec(first))
      await boots(1)
      const changed = vi.fn()
      driver.onChange(changed)
      await driver.pressPowerButton(first)
      await reaches('shutdown')
      await vi.waitFor(() => expect(changed).toHaveBeenCalledWith(first))
      await driver.pressPowerButton(first)
      expect(await driver.list()).toEqual([first])
      await expect(driver.reset(first)).rejects.toThrow('switched itself off')

      await driver.destroy(first)
      await driver.destroy(first)
      expect(await driver.inspect(first)).toEqual({ state: 'absent' })
      expect(await driver.list()).toEqual([])
    })

    it('leaves a guest running that ignores its power button, until the plug is pulled', async () => {
      await driver.start(await harness.spec(first, { ignoresPowerButton: true }))
      await boots(1)
      await driver.pressPowerButton(first)
      await systemClock.sleep(500)
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
      await driver.destroy(first)
      expect(await driver.inspect(first)).toEqual({ state: 'absent' })
    })

    it('keeps the console of a destroyed machine until it is forgotten', async () => {
      const spec = await harness.spec(first)
      const beforeMs = systemClock.now() - 1000
      await driver.start(spec)
      await boots(1)
      await expect(driver.forget(first)).rejects.toThrow('destroy it first')
      await driver.destroy(first)
      const output = await driver.consoleOutput(first, 64 * 1024)
      expect(output?.text).toMatch(harness.bootLine)
      expect(output?.atMs).toBeGreaterThan(beforeMs)
      expect((await driver.consoleOutput(first, 3))?.text).toHaveLength(3)
      await driver.start(spec)
      await boots(2)
      await driver.destroy(first)
      await driver.forget(first)
      expect(await driver.consoleOutput(first, 64 * 1024)).toBeNull()
    })

    it('resets a machine without giving it up', async () => {
      await driver.start(await harness.spec(first))
      await boots(1)
      const before = await driver.inspect(first)
      await driver.reset(first)
      await boots(2)
      expect(await driver.inspect(first)).toEqual(before)
    })

    it('starts a machine anew whose guest switched itself off', async () => {
      const spec = await harness.spec(first)
      await driver.start(spec)
      await boots(1)
      await harness.switchOff(driver, first)
      await reaches('shutdown')
      await driver.start(spec)
      await reaches('running')
      await boots(2)
    })

    it('adopts the machines of an earlier daemon, and hears of them', async () => {
      await driver.start(await harness.spec(first))
      await driver.start(await harness.spec(second))
      await boots(1)
      await boots(1, second)
      const before = await driver.inspect(first)
      await reopen()
      const changed = vi.fn()
      driver.onChange(changed)
      expect(await driver.list()).toEqual([first, second])
      expect(await driver.inspect(first)).toEqual(before)
      changed.mockClear()
      await driver.pressPowerButton(first)
      await vi.waitFor(() => expect(changed).toHaveBeenCalledWith(first), 10_000)
      await reaches('shutdown')
      expect(await driver.inspect(second)).toMatchObject({ state: 'running' })
    })

    it('tells a later daemon that a guest switched itself off while nobody watched', async () => {
      await driver.start(await harness.spec(first))
      await boots(1)
      await harness.switchOff(driver, first)
      await reopen()
      await reaches('shutdown')
    })

    it('notices that a machine vanished', async () => {
      const spec = await harness.spec(first)
      await driver.start(spec)
      await boots(1)
      const changed = vi.fn()
      driver.onChange(changed)
      await harness.crash(driver, first)
      await vi.waitFor(() => expect(changed).toHaveBeenCalledWith(first), 10_000)
      expect(await driver.inspect(first)).toEqual({ state: 'absent' })
      expect(await driver.list()).toEqual([])
      await driver.start(spec)
      await boots(2)
    })

    it('says why a machine did not start, and leaves nothing of it', async () => {
      const spec = await harness.spec(first)
      const { spec: bad, reason } = await harness.broken(driver, spec)
      await expect(driver.start(bad)).rejects.toThrow(reason)
      expect(await driver.inspect(first)).toEqual({ state: 'absent' })
      expect(await driver.list()).toEqual([])
      await driver.start(spec)
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
    })

    it('destroys a machine that is just starting', async () => {
      const spec = await harness.spec(first)
      for (const delayMs of [0, 5, 30]) {
        const start = driver.start(spec).catch((error: Error) => error)
        await systemClock.sleep(delayMs)
        await driver.destroy(first)
        const outcome = await start
        if (outcome) expect(outcome.message).toContain('destroyed')
        expect(await driver.inspect(first)).toEqual({ state: 'absent' })
        expect(await driver.list()).toEqual([])
      }
    })

    it('plugs a disk into a running machine, once, and it is frozen like the others', async () => {
      const spec = await harness.spec(first, { disks: 2 })
      const [root, data] = spec.disks
      await driver.start({ ...spec, disks: [root!] })
      await boots(1)
      await driver.plugDisk(first, data!)
      await driver.plugDisk(first, data!)
      await driver.limitDisk(first, data!.volumeId, {
        iops: 100,
        burst: { iops: 3000, seconds: 60 },
        bytesPerSecond: null,
      })
      await driver.resizeDisk(first, data!.volumeId, 128 * 1024 ** 2)
      await reopen()
      await driver.plugDisk(first, data!)
      const newLayerPath = await harness.newLayer(data!.volumeId)
      await driver.freeze(first, [{ volumeId: data!.volumeId, newLayerPath }])
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
    })

    it('takes a disk from a guest that does not let go of it, when told to; another machine can have it then', async () => {
      const spec = await harness.spec(first, { disks: 2 })
      const { volumeId } = spec.disks[1]!
      await driver.start(spec)
      await boots(1)
      await harness.clingTo(driver, volumeId)
      expect(await driver.unplugDisk(first, volumeId, { force: false })).toBe(false)
      expect(await driver.unplugDisk(first, volumeId, { force: true })).toBe(true)
      expect(await driver.unplugDisk(first, volumeId, { force: true })).toBe(true)
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
      await driver.start(await harness.spec(second))
      await driver.plugDisk(second, spec.disks[1]!)
      expect(await driver.unplugDisk(first, 'vol-0000000000000dead', { force: false })).toBe(true)
    })

    it('runs on sealed disks, which come, grow, freeze and go like others, also in the next daemon', async () => {
      const key = systemRandom.bytes(32)
      const spec = await harness.spec(first, { disks: 2, key })
      const [root, data] = spec.disks
      await driver.start({ ...spec, disks: [root!] })
      await boots(1)
      await driver.plugDisk(first, data!)
      await reopen()
      await driver.plugDisk(first, data!)
      for (const round of [1, 2]) {
        const tops = spec.disks.map(async ({ volumeId }) => ({
          volumeId,
          newLayerPath: await harness.newLayer(`${volumeId}-${round}`, key),
        }))
        await driver.freeze(first, await Promise.all(tops))
      }
      await driver.resizeDisk(first, data!.volumeId, 128 * 1024 ** 2)
      expect(await driver.unplugDisk(first, data!.volumeId, { force: true })).toBe(true)
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
      for (const name of await readdir(harness.machineFolder(first))) {
        const content = await readFile(join(harness.machineFolder(first), name))
        for (const form of [key, key.toString('hex'), key.toString('base64'), JSON.stringify([...key])]) {
          expect(content.includes(form), name).toBe(false)
        }
      }
    })

    it('refuses to change a disk that the machine has not', async () => {
      await driver.start(await harness.spec(first))
      const stranger = 'vol-0000000000000dead'
      await expect(driver.resizeDisk(first, stranger, 1024 ** 3)).rejects.toThrow(stranger)
      await expect(driver.limitDisk(first, stranger, null)).rejects.toThrow(stranger)
      await expect(driver.plugDisk(second, (await harness.spec(second)).disks[0]!)).rejects.toThrow(second)
    })

    it('freezes disks together, once', async () => {
      const spec = await harness.spec(first, { disks: 2 })
      await driver.start(spec)
      await boots(1)
      const tops = await Promise.all(
        spec.disks.map(async ({ volumeId }) => ({ volumeId, newLayerPath: await harness.newLayer(volumeId) })),
      )
      await driver.freeze(first, tops)
      expect(await driver.freeze(first, tops, { quiesce: true })).toEqual({ quiesced: false })
      await reopen()
      await driver.freeze(first, tops)
      expect(await driver.inspect(first)).toMatchObject({ state: 'running' })
      const stranger = { volumeId: 'vol-0000000000000dead', newLayerPath: await harness.newLayer('stranger') }
      await expect(driver.freeze(first, [stranger])).rejects.toThrow('vol-0000000000000dead')
    })
  })
}
