/** Real machines on sealed disks: what their guests write is found in no file, and by whoever has the key. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, run } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import type { DiskChain, MachineDisk, MachineDriver } from '../driver.ts'
import { QmpConnection } from './qmp.ts'
import { bootSector, counterOffset } from './test-guest.ts'
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
const key = systemRandom.bytes(32)

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

const ticks = () => ticksOf(driver, id)
const goesOn = (more?: number) => guestGoesOn(driver, id, more)

async function contentOf(chain: DiskChain): Promise<Buffer> {
  const disk = await harness.tools.openForReading(chain, testDiskBytes)
  try {
    const options = `driver=nbd,server.type=unix,server.path=${disk.socketPath},export=${disk.exportName}`
    const copy = join(harness.folder, 'copy')
    await run('qemu-img', ['convert', '--image-opts', options, '-O', 'raw', copy])
    return await readFile(copy)
  } finally {
    await disk.close()
  }
}

/** The names of the secrets that the machine's QEMU holds. */
async function secretsHeld(): Promise<string[]> {
  await driver.close()
  const qmp = await QmpConnection.connect(join(harness.runDir, `${id}.qmp`), { clock: systemClock, timeoutMs: 5000 })
  const objects = await qmp.execute<{ name: string; type: string }[]>('qom-list', { path: '/objects' })
  qmp.close()
  driver = await harness.open()
  return objects.filter(({ type }) => type === 'child<secret>').map(({ name }) => name)
}

/** The files of the host in which those bytes stand. */
async function filesWith(bytes: string | Buffer): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(harness.folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && (await readFile(path)).includes(bytes)) found.push(entry.name)
  }
  return found
}

it('freezes sealed disks at one instant; what is frozen is read beside the guest', async () => {
  const disks = [await harness.disk(rootVolume, 0, {}, key), await harness.disk(dataVolume, 1, {}, key)]
  await driver.start(harness.machine(id, disks))
  await goesOn()
  const tops = await Promise.all(
    disks.map(async ({ volumeId }) => ({ volumeId, newLayerPath: await harness.newLayer(volumeId, key) })),
  )
  const atLeast = await ticks()
  await driver.freeze(id, tops)
  const atMost = (await ticks()) + 1
  await goesOn()
  const counts: number[] = []
  for (const { chain } of disks) counts.push((await contentOf(chain)).readUInt32LE(counterOffset))
  expect(counts[0]! - counts[1]!, `counts ${counts}`).toBeOneOf([0, 1])
  expect(counts[0]).toBeGreaterThanOrEqual(atLeast)
  expect(counts[0]).toBeLessThanOrEqual(atMost)
})

it('leaves nothing of its disks in any file of the host', async () => {
  const [root, data] = [await harness.disk(rootVolume, 0, {}, key), await harness.disk(dataVolume, 1, {})]
  await driver.start(harness.machine(id, [root, data]))
  await goesOn()
  await driver.destroy(id)
  // The same guest lies on both disks, and one of them is not sealed.
  expect(await filesWith(bootSector().subarray(0, 128))).toEqual([`${dataVolume}.qcow2`])
  for (const form of [key, key.toString('hex'), key.toString('base64')]) expect(await filesWith(form)).toEqual([])
})

it('does not start from a disk that is sealed under another key, and says so', async () => {
  const disk = await harness.disk(rootVolume, 0, {}, key)
  const chain = { ...disk.chain, key: systemRandom.bytes(32) }
  const reason = /did not start.*sealed under another key/
  await expect(driver.start(harness.machine(id, [{ ...disk, chain }]))).rejects.toThrow(reason)
  await driver.start(harness.machine(id, [disk]))
  await goesOn()
  const data = await harness.disk(dataVolume, 1, {}, key)
  const wrong = { ...data, chain: { ...data.chain, key: systemRandom.bytes(32) } }
  await expect(driver.plugDisk(id, wrong)).rejects.toThrow('sealed under another key')
  await driver.plugDisk(id, data)
})

it('holds a key as long as it has the disk', async () => {
  const [root, data] = [await harness.disk(rootVolume, 0, {}), await harness.disk(dataVolume, 1, {}, key)]
  await driver.start(harness.machine(id, [root, data]))
  await goesOn()
  expect(await secretsHeld()).toEqual([`${dataVolume.replace('-', '')}.key`])
  // A guest without an operating system never lets go.
  expect(await driver.unplugDisk(id, dataVolume, { force: true })).toBe(true)
  expect(await secretsHeld()).toEqual([])
})

it('stands on a served base that becomes local and sealed under the running guest', async () => {
  const raw = await harness.rawDisk('base', {})
  const socketPath = join(harness.folder, 'base.sock')
  const server = await serveRaw(raw, socketPath, harness.folder)
  try {
    const layer = join(harness.folder, 'root.qcow2')
    await harness.tools.createLayer(layer, testDiskBytes, key)
    const chain: DiskChain = { base: { socketPath, exportName: 'base' }, layers: [layer], key }
    const disk: MachineDisk = { volumeId: rootVolume, slot: 0, chain }
    await driver.start(harness.machine(id, [disk]))
    await goesOn()
    // With one layer, and again where a frozen one lies under the top.
    const sealed = (await harness.disk('vol-0000000000000000c', 0, {}, key)).chain.layers[0]!
    const newLayerPath = await harness.newLayer(rootVolume, key)
    await driver.freeze(id, [{ volumeId: rootVolume, newLayerPath }])
    const local = { base: { path: sealed }, layers: [layer, newLayerPath], key }
    await driver.localizeBase(id, { ...disk, chain: local })
    await endProcess(server)
    await goesOn(20)
    await driver.destroy(id)
    await driver.start(harness.machine(id, [{ ...disk, chain: local }]))
    await goesOn()
  } finally {
    await endProcess(server)
  }
})

it('starts on without the daemon that began to start it', async () => {
  const spec = harness.machine(id, [await harness.disk(rootVolume, 0, {}, key)])
  const start = driver.start(spec).catch((error: Error) => error)
  const begun = async () => ((await driver.list()).length > 0 ? true : undefined)
  await waitFor(systemClock, begun, { ...timing, everyMs: 1 })
  await driver.close()
  await start
  driver = await harness.open()
  expect(await driver.list()).toEqual([id])
  await goesOn()
})
