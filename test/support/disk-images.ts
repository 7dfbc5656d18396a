/** Disk images for tests of imports: a small disk that looks bootable, and what other programs make of it. */
import { open, truncate, writeFile } from 'node:fs/promises'
import { run } from '../../src/lib/programs.ts'

export const imageMib = 24

/** A raw disk with a boot loader's first bytes, a partition, and marks here and there. */
export async function writeBootableDisk(path: string, mark = 'kiln'): Promise<void> {
  await writeFile(path, '')
  await truncate(path, imageMib * 1024 ** 2)
  const file = await open(path, 'r+')
  const sector = Buffer.alloc(512)
  sector.write('\xeb\x63\x90', 0, 'latin1')
  Buffer.from([0x80, 0, 2, 0, 0x83, 0xff, 0xff, 0xff]).copy(sector, 446)
  sector.writeUInt32LE(2048, 454)
  sector.writeUInt32LE((imageMib - 1) * 2048, 458)
  sector.writeUInt16LE(0xaa55, 510)
  await file.write(sector, 0, 512, 0)
  for (const mib of [1, 7, 19])
    await file.write(Buffer.from(`${mark} ${mib}`.padEnd(4096, '.')), 0, 4096, mib * 1024 ** 2)
  await file.close()
}

const made = {
  raw: [],
  qcow2: [],
  vmdk: ['-o', 'subformat=streamOptimized'],
  vhd: ['-o', 'force_size=on'],
  vhdx: [],
} as const
const drivers = { raw: 'raw', qcow2: 'qcow2', vmdk: 'vmdk', vhd: 'vpc', vhdx: 'vhdx' } as const
export type MadeFormat = keyof typeof made

export async function convertTo(format: MadeFormat, from: string, to: string): Promise<void> {
  await run('qemu-img', ['convert', '-f', 'raw', '-O', drivers[format], ...made[format], from, to])
}

/** Throws when the disks differ; the one may be longer, if the rest is zeros. */
export async function compareDisks(format: MadeFormat, path: string, rawPath: string): Promise<void> {
  await run('qemu-img', ['compare', '-f', drivers[format], '-F', 'raw', path, rawPath])
}
