/** Whether a disk can boot here at all, by its first sectors: machines begin with a BIOS, which runs what lies there. */

const sectorBytes = 512
const bootCodeBytes = 440
const tableOffset = 446
const entryBytes = 16
const protectiveType = 0xee
/** How much of a disk {@link bootProblem} looks at. */
export const bootAreaBytes = 2 * sectorBytes

/**
 * Why a machine could not start from the disk; null when nothing speaks against it. A disk that is not to be partitioned
 * has a file system with a boot loader of its own.
 */
export function bootProblem(start: Buffer, diskBytes: number, isPartitioned = true): string | null {
  if (start.length < sectorBytes || start.readUInt16LE(510) !== 0xaa55) {
    return 'No valid partitions. Not a valid volume: its first sector has neither a partition table nor a boot loader.'
  }
  if (!isPartitioned) return null
  const entries = [0, 1, 2, 3].map((i) =>
    start.subarray(tableOffset + i * entryBytes, tableOffset + (i + 1) * entryBytes),
  )
  const isTable = entries.every((entry) => entry[0] === 0 || entry[0] === 0x80)
  const partitions = entries.filter((entry) => entry[4] !== 0 && entry.readUInt32LE(12) > 0)
  if (!isTable || partitions.length === 0) {
    return 'No valid partitions. Not a valid volume: its first sector has no partition table.'
  }
  const isGpt = partitions.some((entry) => entry[4] === protectiveType)
  if (isGpt && start.toString('latin1', sectorBytes, sectorBytes + 8) !== 'EFI PART') {
    return 'No valid partitions. Its GUID partition table is damaged.'
  }
  const isInside = partitions.some((entry) => entry.readUInt32LE(8) * sectorBytes < diskBytes)
  if (!isInside) return 'No valid partitions. All of them begin behind the end of the disk.'
  if (start.subarray(0, bootCodeBytes).every((byte) => byte === 0)) {
    return isGpt
      ? 'Unsupported boot mode: the disk has no boot loader for a BIOS, and machines do not boot by UEFI here.'
      : 'Missing boot loader: the first sector of the disk has a partition table and no boot loader.'
  }
  return null
}
