/**
 * What lies in an OVA: a tar archive of one OVF and the disks that it refers to. Nothing is unpacked. Each disk is known
 * by its place in the archive, and read there. Source: DMTF DSP0243, "Open Virtualization Format Specification".
 */
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import { messageOf } from '../../lib/errors.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { WindowPlace } from './file-window.ts'
import { disksOfOvf } from './ovf.ts'

const entriesMax = 256
const ovfBytesMax = 1024 * 1024
const readAheadBytes = 1024 * 1024
const tarBlockBytes = 512

export interface OvaDisk extends WindowPlace {
  /** Its name in the archive. */
  name: string
}

/** The machine's disks, the one that it boots from first. Throws {@link UnusableImage}. */
export async function disksOfOva(path: string, signal?: AbortSignal): Promise<OvaDisk[]> {
  const { places, ovf } = await readArchive(path, signal)
  if (ovf === undefined) throw new UnusableImage('an OVA without an OVF in it')
  return disksOfOvf(ovf).map(({ href, fileName }) => {
    const place = places.get(fileName)
    if (!place) throw new UnusableImage(`an OVA whose OVF names the disk '${href}', which is not in the archive`)
    return { name: fileName, ...place }
  })
}

interface Archive {
  places: Map<string, WindowPlace>
  ovf: string | undefined
}

async function readArchive(path: string, signal?: AbortSignal): Promise<Archive> {
  const archive: Archive = { places: new Map(), ovf: undefined }
  const reader = extract()
  const file = createReadStream(path, { highWaterMark: readAheadBytes })
  const reading = readEntries(reader, archive)
  try {
    // Both end with the first that fails.
    await Promise.all([pipeline(file, reader, { signal }), reading])
  } catch (error) {
    if (error instanceof UnusableImage || signal?.aborted) throw error
    throw new UnusableImage(`an OVA whose archive cannot be read: ${messageOf(error)}`, { cause: error })
  }
  return archive
}

async function readEntries(reader: ReturnType<typeof extract>, archive: Archive): Promise<void> {
  let entries = 0
  for await (const entry of reader) {
    if (++entries > entriesMax) throw new UnusableImage(`an OVA with more than ${entriesMax} entries`)
    // The library tells where an entry's content begins; its types do not say so.
    const header = entry.header as Header & { byteOffset: number }
    checkEntry(header)
    const { name, size = 0, byteOffset: offsetBytes } = header
    if (archive.places.has(name)) throw new UnusableImage(`an OVA with two entries of the name '${clipped(name)}'`)
    archive.places.set(name, { offsetBytes, lengthBytes: Math.ceil(size / tarBlockBytes) * tarBlockBytes })
    if (/\.ovf$/i.test(name)) {
      if (archive.ovf !== undefined) throw new UnusableImage('an OVA with more than one OVF')
      if (size > ovfBytesMax) throw new UnusableImage(`an OVA whose OVF has more than ${ovfBytesMax} bytes`)
      const pieces: Buffer[] = []
      for await (const piece of entry) pieces.push(piece as Buffer)
      archive.ovf = Buffer.concat(pieces).toString('utf8')
    } else {
      entry.resume()
    }
  }
}

/** An archive of a machine is a flat list of files. */
function checkEntry({ name, type }: Header): void {
  if (type !== 'file' && type !== 'contiguous-file') {
    throw new UnusableImage(`an OVA with the entry '${clipped(name)}', which is a ${type} and no file`)
  }
  if (name === '' || name.length > 255 || /[/\\\0]/.test(name) || name === '.' || name === '..') {
    throw new UnusableImage(`an OVA with the entry '${clipped(name)}', whose name leads elsewhere`)
  }
}

const clipped = (text: string) => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
