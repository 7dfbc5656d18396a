/** What a file is, by its content alone, and whether it may be opened: before QEMU sees a byte of it. */
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { DiskFormat, ImageFormat } from '../driver.ts'
import type { FileWindow } from './file-window.ts'
import { checkQcow2, qcow2Magic } from './qcow2.ts'
import { checkVhd, findVhdFooter, vhdMagic } from './vhd.ts'
import { checkVhdx, vhdxMagic } from './vhdx.ts'
import { checkVmdk, vmdkDescriptorStart, vmdkMagic, vmdkMagicOfOld } from './vmdk.ts'

const sectorBytes = 512

/** Files that people try to import, and that are none of the formats. */
const known: readonly { magic: Buffer; offset: number; what: string }[] = [
  { magic: Buffer.from('LUKS\xba\xbe', 'latin1'), offset: 0, what: 'a LUKS-encrypted disk: decrypt it first' },
  { magic: vmdkMagicOfOld, offset: 0, what: 'a VMDK of the old ESX kind: export it as streamOptimized' },
  { magic: Buffer.from([0x7f, 0x10, 0xda, 0xbe]), offset: 64, what: 'a VDI of VirtualBox: convert it first' },
  { magic: Buffer.from('QED\0', 'latin1'), offset: 0, what: 'a QED image: convert it first' },
  { magic: Buffer.from('WithoutFreeSpace'), offset: 0, what: 'a Parallels disk: convert it first' },
  { magic: Buffer.from('WithouFreSpacExt'), offset: 0, what: 'a Parallels disk: convert it first' },
  { magic: Buffer.from([0x1f, 0x8b]), offset: 0, what: 'a gzip file: unpack it first' },
  { magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]), offset: 0, what: 'an xz file: unpack it first' },
  { magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), offset: 0, what: 'a zstd file: unpack it first' },
  { magic: Buffer.from('BZh'), offset: 0, what: 'a bzip2 file: unpack it first' },
  { magic: Buffer.from('PK\x03\x04'), offset: 0, what: 'a zip file: unpack it first' },
  { magic: Buffer.from('\x7fELF', 'latin1'), offset: 0, what: 'a program: no disk' },
]

/** The format that the file has; `raw` is what has none of the others' marks. Throws {@link UnusableImage}. */
export async function detectFormat(window: FileWindow): Promise<ImageFormat> {
  const head = await window.readUpTo(0, sectorBytes)
  if (window.lengthBytes === 0) throw new UnusableImage('an empty file')
  const begins = (magic: Buffer, offset = 0) => head.subarray(offset, offset + magic.length).equals(magic)
  if (begins(qcow2Magic)) return 'qcow2'
  if (begins(vmdkMagic)) return 'vmdk'
  if (begins(vhdxMagic)) return 'vhdx'
  if (begins(Buffer.from('ustar'), 257)) return 'ova'
  if (head.toString('latin1').startsWith(vmdkDescriptorStart)) {
    throw new UnusableImage('the descriptor of a VMDK, which names other files: export it as streamOptimized')
  }
  const other = known.find(({ magic, offset }) => begins(magic, offset))
  if (other) throw new UnusableImage(other.what)
  // A raw disk may hold the word by chance; one whose footer is whole and right is a VHD.
  if (begins(vhdMagic) || (await findVhdFooter(window))) return 'vhd'
  return 'raw'
}

const checks: Readonly<Record<DiskFormat, (window: FileWindow) => Promise<void>>> = {
  raw: async () => {},
  qcow2: checkQcow2,
  vmdk: checkVmdk,
  vhd: checkVhd,
  vhdx: checkVhdx,
}

/** Throws {@link UnusableImage} unless the file is of that format, stands alone and is not encrypted. */
export async function checkDisk(window: FileWindow, format: DiskFormat): Promise<void> {
  await checks[format](window)
}
