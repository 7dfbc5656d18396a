/** The disk: a master boot record, the boot partition, room for the root. */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { diskSizeBytes, layout } from './recipe.ts'

/** SYSLINUX's boot code, where Debian's and other distributions' packages put it. */
const bootCodePaths = [
  '/usr/lib/syslinux/mbr/mbr.bin',
  '/usr/lib/SYSLINUX/mbr.bin',
  '/usr/lib/syslinux/bios/mbr.bin',
  '/usr/share/syslinux/mbr.bin',
]

/** Creates the raw disk at `path`, all zeros but for the boot record and the boot partition's bytes. */
export async function createDisk(path: string, bootPartitionPath: string): Promise<void> {
  await using disk = await open(path, 'wx')
  await disk.truncate(diskSizeBytes)
  await writeAll(disk, masterBootRecord(await bootCode()), 0)
  await writeAll(disk, await readFile(bootPartitionPath), layout.bootStartBytes)
}

async function writeAll(disk: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await disk.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  }
}

async function bootCode(): Promise<Buffer> {
  for (const path of bootCodePaths) {
    const code = await readFile(path).catch(() => undefined)
    if (code) return code
  }
  throw new Error(`SYSLINUX's mbr.bin was not found (looked for ${bootCodePaths.join(', ')})`)
}

/** The first sector: at most 440 bytes of code, a disk signature, four partition entries, 0x55 0xAA. */
function masterBootRecord(code: Buffer): Buffer {
  const sector = Buffer.alloc(layout.sectorBytes)
  code.copy(sector, 0, 0, Math.min(code.length, 440))
  sector.writeUInt32LE(0x4e4c494b, 440) // "KILN"
  const entry = (index: number, status: number, type: number, startBytes: number, sectors: number) => {
    const at = 446 + index * 16
    sector.writeUInt8(status, at)
    sector.writeUInt8(type, at + 4)
    // Cylinder addresses that mean "use the linear ones".
    sector.set([0xfe, 0xff, 0xff], at + 1)
    sector.set([0xfe, 0xff, 0xff], at + 5)
    sector.writeUInt32LE(startBytes / layout.sectorBytes, at + 8)
    sector.writeUInt32LE(sectors, at + 12)
  }
  entry(0, 0x80, 0x0e, layout.bootStartBytes, layout.bootSizeBytes / layout.sectorBytes)
  // The root says that it goes on to the last sector that this table can name, and the kernel cuts it to the disk: so it
  // grows with the disk, and nobody has to rewrite the table.
  entry(1, 0x00, 0x83, layout.rootStartBytes, 0xffffffff - layout.rootStartBytes / layout.sectorBytes)
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}
