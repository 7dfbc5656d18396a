/** Which VHD files may be opened. Source: Microsoft's "Virtual Hard Disk Image Format Specification". */
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { FileWindow } from './file-window.ts'

export const vhdMagic = Buffer.from('conectix')

const footerBytes = 512
const diskType = { fixed: 2, dynamic: 3, differencing: 4 } as const

/** The footer; undefined when the file does not end as a VHD does. */
export async function findVhdFooter(window: FileWindow): Promise<Buffer | undefined> {
  const footer = await window.readUpTo(window.lengthBytes - footerBytes, footerBytes)
  if (footer.length === footerBytes && footer.subarray(0, 8).equals(vhdMagic)) return footer
  // Dynamic ones begin with a copy, and a file that was cut off still has it.
  const copy = await window.readUpTo(0, footerBytes)
  return copy.length === footerBytes && copy.subarray(0, 8).equals(vhdMagic) ? copy : undefined
}

/** Throws {@link UnusableImage} for one that needs a parent, or whose footer is damaged. */
export async function checkVhd(window: FileWindow): Promise<void> {
  const footer = await findVhdFooter(window)
  if (!footer) throw new UnusableImage('no VHD: it has no footer')
  if (checksumOf(footer) !== footer.readUInt32BE(64)) throw new UnusableImage('a VHD whose footer is damaged')
  const type = footer.readUInt32BE(60)
  if (type === diskType.differencing) {
    throw new UnusableImage('a differencing VHD: only an image that stands alone can be imported')
  }
  if (type !== diskType.fixed && type !== diskType.dynamic) {
    throw new UnusableImage(`a VHD of type ${type}: only fixed and dynamic ones are read`)
  }
}

/** One's complement of the sum of all bytes but the checksum's own. */
function checksumOf(footer: Buffer): number {
  let sum = 0
  for (const [index, byte] of footer.entries()) if (index < 64 || index >= 68) sum += byte
  return ~sum >>> 0
}
