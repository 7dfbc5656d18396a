/** Changes to the disks of a guest that never rests: none of its requests may fail by them. */
import { open as openFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess } from '../../lib/programs.ts'
import type { DiskChain } from '../driver.ts'
import {
  baseNode,
  baseNodeName,
  copyOnReadName,
  deviceNode,
  layerNodeName,
  reopened,
  writableLayer,
} from './disk-chain.ts'
import { switchBase } from './hot-plug.ts'
import { QmpConnection } from './qmp.ts'
import { guestStrideBytes } from './test-guest.ts'
import { createQemuHarness, type QemuHarness, serveRaw, testDiskBytes } from './test-harness.ts'

const id = 'i-0000000000000000a'
const volumeId = 'vol-0000000000000000a'

const timing = { everyMs: 5, timeoutMs: 20_000 }

let harness: QemuHarness

beforeEach(async () => {
  harness = await createQemuHarness()
})
afterEach(() => harness.cleanUp())

describe('a base that becomes local under a guest that never rests', () => {
  it('fails none of its requests, again and again', async () => {
    const raw = await harness.rawDisk('base', { restless: true })
    const file = await openFile(raw, 'r+')
    for (let at = guestStrideBytes; at < testDiskBytes; at += guestStrideBytes) await file.write('data', at)
    await file.close()
    const base = { socketPath: join(harness.folder, 'base.sock'), exportName: 'base' }
    const server = await serveRaw(raw, base.socketPath, harness.folder)
    const layer = await harness.newLayer('root')
    const chain: DiskChain = { base, layers: [layer], key: null }
    const driver = await harness.open()
    const errors: unknown[] = []
    const consoleBytes = async () => (await stat(join(harness.machineFolder(id), 'console.log'))).size
    const goesOn = async () => {
      const before = await consoleBytes()
      const hasGone = async () => ((await consoleBytes()) > before ? true : undefined)
      expect(await waitFor(systemClock, hasGone, timing), JSON.stringify(errors)).toBe(true)
    }
    try {
      await driver.start(harness.machine(id, [{ volumeId, slot: 0, chain }]))
      await goesOn()
      // The driver's own connection has to go first: QEMU serves one.
      await driver.close()
      const qmp = await QmpConnection.connect(join(harness.runDir, `${id}.qmp`), {
        ...{ clock: systemClock, timeoutMs: 10_000 },
        onEvent: ({ event, data }) => event === 'BLOCK_IO_ERROR' && errors.push(data),
      })
      for (let round = 0; round < 60; round += 1) {
        await goesOn()
        await switchBase(qmp, volumeId, { ...chain, base: { path: raw } })
        await goesOn()
        expect(errors, `round ${round}`).toEqual([])
        await serveAgain(qmp, base, layer)
      }
      qmp.close()
    } finally {
      const last = await harness.open()
      await last.destroy(id)
      await last.close()
      await endProcess(server)
    }
  })
})

/** The way back, which Kiln never goes: the guest is halted for it. */
async function serveAgain(qmp: QmpConnection, base: DiskChain['base'] & object, layer: string): Promise<void> {
  const lowest = writableLayer(volumeId, { path: layer, isSealed: false }, null)
  const filter = { driver: 'copy-on-read', 'node-name': copyOnReadName(volumeId), file: layerNodeName(volumeId, layer) }
  await qmp.execute('stop')
  await qmp.execute('blockdev-add', baseNode(volumeId, base, false))
  await qmp.execute('blockdev-reopen', { options: [reopened(lowest, baseNodeName(volumeId, base))] })
  await qmp.execute('blockdev-add', { ...filter, discard: 'unmap' })
  await qmp.execute('blockdev-reopen', { options: [deviceNode(volumeId, copyOnReadName(volumeId))] })
  await qmp.execute('blockdev-del', { 'node-name': baseNodeName(volumeId, { path: '' }) })
  await qmp.execute('cont')
}
