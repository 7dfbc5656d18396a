/** What a volume holds, read as a guest would read it. */
import { readFile } from 'node:fs/promises'
import { run } from '../../src/lib/programs.ts'
import type { TestCloud } from './test-cloud.ts'

/** One byte of a volume that no machine has open; the offset is a multiple of 512. */
export async function byteOfVolume({ cloud, deps }: TestCloud, id: string, offset: number): Promise<number> {
  const row = (await deps.state.volumes.get(id))!
  const source = await deps.disks.openForReading(await cloud.volumes.disks.chain(row), row.sizeGib * 2 ** 30)
  const raw = `${source.socketPath}.raw`
  try {
    const image = `driver=nbd,server.type=unix,server.path=${source.socketPath},export=${source.exportName}`
    const range = ['bs=512', `skip=${offset / 512}`, `count=${offset / 512 + 1}`]
    await run('qemu-img', ['dd', '-U', '--image-opts', '-O', 'raw', ...range, `if=${image}`, `of=${raw}`])
    return (await readFile(raw))[0]!
  } finally {
    await source.close()
    await run('rm', ['-f', raw])
  }
}
