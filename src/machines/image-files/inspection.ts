/** What disks a file holds that somebody sent, found without trusting a word of it. */
import { open } from 'node:fs/promises'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { DiskFormat, ImageFormat } from '../driver.ts'
import { checkDisk, detectFormat } from './detection.ts'
import { FileWindow, type WindowPlace } from './file-window.ts'
import { disksOfOva } from './ova.ts'

/** A disk in a file, whose headers were checked. */
export interface CheckedDisk {
  format: DiskFormat
  /** Where it lies in its archive; null when it is all of the file. */
  window: WindowPlace | null
  /** Its name in the archive. */
  name: string | null
}

/**
 * Throws {@link UnusableImage} when the file is none of the formats, not the one that was declared, or one that leads out
 * of the file.
 */
export async function inspectFile(
  path: string,
  declared: ImageFormat | null,
  signal?: AbortSignal,
): Promise<{ format: ImageFormat; disks: CheckedDisk[] }> {
  const file = await open(path, 'r')
  try {
    const whole = new FileWindow(file, { offsetBytes: 0, lengthBytes: (await file.stat()).size })
    const format = await detectFormat(whole)
    if (declared && declared !== format) {
      throw new UnusableImage(
        `not what it was said to be: it is declared as ${upper(declared)}, and is ${upper(format)}`,
      )
    }
    if (format !== 'ova') {
      await checkDisk(whole, format)
      return { format, disks: [{ format, window: null, name: null }] }
    }
    const disks: CheckedDisk[] = []
    for (const { name, ...window } of await disksOfOva(path, signal)) {
      const inside = new FileWindow(file, window)
      const diskFormat = await detectFormat(inside)
      if (diskFormat === 'ova') throw new UnusableImage(`an OVA whose disk '${name}' is an archive itself`)
      await checkDisk(inside, diskFormat)
      disks.push({ format: diskFormat, window, name })
    }
    return { format, disks }
  } finally {
    await file.close()
  }
}

const upper = (format: ImageFormat) => format.toUpperCase()
