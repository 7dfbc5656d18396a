/** A snapshot that becomes a sealed file of the host: blocks, disk tools and QEMU's programs work together on it. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { openTestCloud } from '../support/test-cloud.ts'

const region = 'us-east-1'
const tib = 1024 ** 4

test('a volume of 16 TiB stands on a sealed base that takes what its data take', async () => {
  const { deps, close } = await openTestCloud()
  onTestFinished(close)
  const { blocks, disks } = deps
  const sizeBytes = 16 * tib
  const key = systemRandom.bytes(32)
  await blocks.openRegion(region)
  const folder = join(deps.volumesDir, '..')

  const [source, top] = [join(folder, 'source.qcow2'), join(folder, 'top.qcow2')]
  for (const path of [source, top]) await disks.createLayer(path, sizeBytes, key)
  const target = await disks.openForWriting(source, sizeBytes, key)
  const image = (disk: { socketPath: string; exportName: string }) => {
    const server = { type: 'unix', path: disk.socketPath }
    return `json:${JSON.stringify({ driver: 'nbd', server, export: disk.exportName })}`
  }
  const far = 15 * tib
  await run('qemu-io', ['-c', 'write -P 0x41 1M 1M', '-c', `write -P 0x42 ${far} 64k`, '-c', 'flush', image(target)])
  await target.close()
  const frozen = await disks.openForReading({ base: null, layers: [source], key }, sizeBytes)
  const { root, info } = await blocks.capture({ region, source: frozen, sizeBytes, parent: null })
  await frozen.close()
  expect(info.blockCount).toBe(3)

  const path = join(folder, 'base.qcow2')
  await blocks.materialize({ region, root, path, diskKey: key })
  expect((await stat(path)).blocks * 512).toBeLessThan(4 * 1024 * 1024)
  expect((await readFile(path)).includes('A'.repeat(64))).toBe(false)

  const chain = { base: { path }, layers: [top], key }
  const disk = await disks.openForReading(chain, sizeBytes)
  const reads = ['read -P 0 0 1M', 'read -P 0x41 1M 1M', `read -P 0x42 ${far} 64k`, `read -P 0 ${far + 65_536} 1M`]
  expect(await run('qemu-io', ['-r', ...reads.flatMap((line) => ['-c', line]), image(disk)])).not.toContain('failed')
  await disk.close()
  await expect(disks.openForReading({ ...chain, key: systemRandom.bytes(32) }, sizeBytes)).rejects.toThrow(
    'sealed under another key',
  )
})
