/** Which VHDX files may be opened. Source: [MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format". */
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { FileWindow } from './file-window.ts'

export const vhdxMagic = Buffer.from('vhdxfile')

const headerPlaces = [64 * 1024, 128 * 1024]
const regionTablePlaces = [192 * 1024, 256 * 1024]
const regionEntriesMax = 2047
const metadataEntriesMax = 2047
const metadataTableBytes = 64 * 1024
const guids = {
  metadata: '06a27c8b90479a4bb8fe575f050f886e',
  fileParameters: '3767a1ca36fa434db3b633f0aa44e76b',
  parentLocator: '2d5fd3a80bb34d45abf7d3d84834ab0c',
} as const
const hasParent = 2

/** Throws {@link UnusableImage} for one that needs a parent, or was not closed. */
export async function checkVhdx(window: FileWindow): Promise<void> {
  await checkHeaders(window)
  const metadataAt = await placeOfMetadata(window)
  const table = await window.read(metadataAt, metadataTableBytes)
  const count = table.readUInt16LE(10)
  if (table.toString('latin1', 0, 8) !== 'metadata' || count > metadataEntriesMax) throw damaged()
  for (let entry = 0; entry < count; entry++) {
    const at = 32 + entry * 32
    const guid = table.toString('hex', at, at + 16)
    if (guid === guids.parentLocator) throw withParent()
    if (guid !== guids.fileParameters) continue
    const parameters = await window.read(metadataAt + table.readUInt32LE(at + 16), 8)
    if (parameters.readUInt32LE(4) & hasParent) throw withParent()
  }
}

/** The current header is the one of the two with the higher number; its log must be empty. */
async function checkHeaders(window: FileWindow): Promise<void> {
  const headers = await Promise.all(headerPlaces.map((place) => window.read(place, 4096)))
  const valid = headers.filter((header) => header.toString('latin1', 0, 4) === 'head')
  const current = valid.sort((a, b) => Number(b.readBigUInt64LE(8) - a.readBigUInt64LE(8)))[0]
  if (!current) throw damaged()
  if (current.subarray(48, 64).some((byte) => byte !== 0)) {
    throw new UnusableImage('a VHDX that was not closed: its log must be replayed first, by whoever wrote it')
  }
}

async function placeOfMetadata(window: FileWindow): Promise<number> {
  for (const place of regionTablePlaces) {
    const table = await window.read(place, 64 * 1024)
    const count = table.readUInt32LE(8)
    if (table.toString('latin1', 0, 4) !== 'regi' || count > regionEntriesMax) continue
    for (let entry = 0; entry < count; entry++) {
      const at = 16 + entry * 32
      if (table.toString('hex', at, at + 16) === guids.metadata) return Number(table.readBigUInt64LE(at + 16))
    }
  }
  throw damaged()
}

const damaged = () => new UnusableImage('a VHDX whose headers are damaged')
const withParent = () => new UnusableImage('a differencing VHDX: only an image that stands alone can be imported')
