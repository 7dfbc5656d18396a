/** Pictures of a machine's screen, by QEMU's own screen dump. */
import { readFile, rm } from 'node:fs/promises'
import type { Picture } from '../driver.ts'
import { type QmpConnection, QmpError } from './qmp.ts'

/** Netpbm's portable pixmap with a byte a colour: its format, width and height, 255, and then the points. */
const header = /^P6\s(\d{1,5})\s(\d{1,5})\s255\s/

/** What QEMU says of a machine that was started without a graphics card. */
const screenless = 'There is no console'

/** Null for a machine without a screen. `path` is where QEMU puts the picture; it is gone afterwards. */
export async function takePicture(
  qmp: QmpConnection,
  path: string,
  { wake }: { wake: boolean },
): Promise<Picture | null> {
  // Of all keys the one that changes nothing.
  if (wake) await qmp.execute('send-key', { keys: [{ type: 'qcode', data: 'ctrl' }] })
  try {
    await qmp.execute('screendump', { filename: path })
    return pictureOf(await readFile(path))
  } catch (error) {
    if (error instanceof QmpError && error.message.includes(screenless)) return null
    throw error
  } finally {
    await rm(path, { force: true })
  }
}

function pictureOf(pixmap: Buffer): Picture {
  const match = header.exec(pixmap.toString('latin1', 0, 32))
  if (!match) throw new Error('QEMU wrote a picture that is not a pixmap')
  const [widthPx, heightPx] = [Number(match[1]), Number(match[2])]
  const rgb = pixmap.subarray(match[0].length)
  if (rgb.length !== widthPx * heightPx * 3) {
    throw new Error(`a picture of ${widthPx} by ${heightPx} points has ${rgb.length} bytes`)
  }
  return { widthPx, heightPx, rgb }
}
