/** The partitions of a disk. Sources: the UEFI specification (GPT), and the MBR as every BIOS reads it. */
import type { ByteSource } from './disk-bytes.ts'

export interface Partition {
  /** As the kernel counts them; 0 is the whole disk, where there is no table. */
  number: number
  offsetBytes: number
  sizeBytes: number
}

const sectorBytes = 512
const protective = 0xee
const extended: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85])
const logicalMax = 60
const gptEntriesMax = 256

/** Those that begin on the disk; one that ends beyond it is cut there. Without a table the disk is one file system. */
export async function partitionsOf(disk: ByteSource): Promise<Partition[]> {
  const whole = [{ number: 0, offsetBytes: 0, sizeBytes: disk.sizeBytes }]
  if (disk.sizeBytes < 4 * sectorBytes) return whole
  const entries = mbrEntries(await disk.read(0, sectorBytes))
  if (!entries) return whole
  const found = entries.some(({ type }) => type === protective)
    ? await gptPartitions(disk)
    : await mbrPartitions(disk, entries)
  return found
    .filter(({ offsetBytes }) => offsetBytes < disk.sizeBytes)
    .map((part) => ({ ...part, sizeBytes: Math.min(part.sizeBytes, disk.sizeBytes - part.offsetBytes) }))
}

interface MbrEntry {
  number: number
  type: number
  firstSector: number
  sectors: number
}

/** Undefined when the sector is no partition table. */
function mbrEntries(sector: Buffer): MbrEntry[] | undefined {
  if (sector.readUInt16LE(510) !== 0xaa55) return undefined
  const entries: MbrEntry[] = []
  for (let number = 1; number <= 4; number++) {
    const at = 446 + (number - 1) * 16
    // A boot sector of a file system has code there.
    if (sector[at] !== 0 && sector[at] !== 0x80) return undefined
    const [type, firstSector, sectors] = [sector[at + 4]!, sector.readUInt32LE(at + 8), sector.readUInt32LE(at + 12)]
    if (type !== 0 && sectors > 0) entries.push({ number, type, firstSector, sectors })
  }
  return entries.length > 0 ? entries : undefined
}

async function mbrPartitions(disk: ByteSource, entries: readonly MbrEntry[]): Promise<Partition[]> {
  const found: Partition[] = []
  for (const { number, type, firstSector, sectors } of entries) {
    if (extended.has(type)) found.push(...(await logicalPartitions(disk, firstSector)))
    else found.push(partition(number, firstSector, sectors))
  }
  return found
}

/** A chain of tables, each of which names one partition and the next table. */
async function logicalPartitions(disk: ByteSource, firstSector: number): Promise<Partition[]> {
  const found: Partition[] = []
  const seen = new Set<number>()
  for (let at = firstSector; found.length < logicalMax && !seen.has(at); ) {
    seen.add(at)
    if ((at + 1) * sectorBytes > disk.sizeBytes) break
    const entries = mbrEntries(await disk.read(at * sectorBytes, sectorBytes)) ?? []
    const own = entries.find(({ type }) => !extended.has(type))
    if (own) found.push(partition(5 + found.length, at + own.firstSector, own.sectors))
    const next = entries.find(({ type }) => extended.has(type))
    if (!next) break
    at = firstSector + next.firstSector
  }
  return found
}

async function gptPartitions(disk: ByteSource): Promise<Partition[]> {
  const header = await disk.read(sectorBytes, sectorBytes)
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return []
  const tableAt = Number(header.readBigUInt64LE(72)) * sectorBytes
  const [count, entryBytes] = [Math.min(header.readUInt32LE(80), gptEntriesMax), header.readUInt32LE(84)]
  if (entryBytes < 128 || entryBytes > 4096 || tableAt + count * entryBytes > disk.sizeBytes) return []
  const table = await disk.read(tableAt, count * entryBytes)
  const found: Partition[] = []
  for (let i = 0; i < count; i++) {
    const entry = table.subarray(i * entryBytes, (i + 1) * entryBytes)
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue
    const [first, last] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))]
    if (first > 0 && last >= first) found.push(partition(i + 1, first, last - first + 1))
  }
  return found
}

const partition = (number: number, firstSector: number, sectors: number): Partition => ({
  number,
  offsetBytes: firstSector * sectorBytes,
  sizeBytes: sectors * sectorBytes,
})

const marks: readonly { kind: string; offset: number; magic: string }[] = [
  { kind: 'xfs', offset: 0, magic: 'XFSB' },
  { kind: 'btrfs', offset: 0x10040, magic: '_BHRfS_M' },
  { kind: 'lvm', offset: 512, magic: 'LABELONE' },
  { kind: 'luks', offset: 0, magic: 'LUKS\xba\xbe' },
  { kind: 'swap', offset: 4086, magic: 'SWAPSPACE2' },
  { kind: 'squashfs', offset: 0, magic: 'hsqs' },
  { kind: 'ntfs', offset: 3, magic: 'NTFS    ' },
  { kind: 'exfat', offset: 3, magic: 'EXFAT   ' },
  { kind: 'fat', offset: 54, magic: 'FAT' },
  { kind: 'fat', offset: 82, magic: 'FAT32' },
  { kind: 'f2fs', offset: 1024, magic: '\x10\x20\xf5\xf2' },
  { kind: 'iso9660', offset: 32_769, magic: 'CD001' },
]

/** What lies there: `ext` for ext2, ext3 and ext4; `empty` where the beginning is zeros, `unknown` for all else. */
export async function kindOf(source: ByteSource): Promise<string> {
  const start = await source.read(0, Math.min(source.sizeBytes, 128 * 1024))
  if (start.length >= 2048 && start.readUInt16LE(1080) === 0xef53) return 'ext'
  const mark = marks.find(({ offset, magic }) => start.toString('latin1', offset, offset + magic.length) === magic)
  return mark?.kind ?? (start.every((byte) => byte === 0) ? 'empty' : 'unknown')
}
