/** Which qcow2 files may be opened. Source: "The qcow2 format" in QEMU's documentation (docs/interop/qcow2.txt). */
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { FileWindow } from './file-window.ts'

export const qcow2Magic = Buffer.from([0x51, 0x46, 0x49, 0xfb])

const incompatible = { corrupt: 1n << 1n, externalDataFile: 1n << 2n } as const

/** Throws {@link UnusableImage} for one that leads to another file, is encrypted, or is damaged by its own word. */
export async function checkQcow2(window: FileWindow): Promise<void> {
  const header = await window.read(0, 104)
  const version = header.readUInt32BE(4)
  if (version !== 2 && version !== 3) {
    throw new UnusableImage(`a qcow2 file of version ${version}: only versions 2 and 3 are read`)
  }
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0) {
    throw new UnusableImage('a qcow2 file with a backing file: only an image that stands alone can be imported')
  }
  if (header.readUInt32BE(32) !== 0) throw new UnusableImage('a qcow2 file that is encrypted')
  const features = version === 3 ? header.readBigUInt64BE(72) : 0n
  if (features & incompatible.externalDataFile) {
    throw new UnusableImage('a qcow2 file with an external data file: only an image that stands alone can be imported')
  }
  if (features & incompatible.corrupt) throw new UnusableImage('a qcow2 file that is marked as corrupt')
}
