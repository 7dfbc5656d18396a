/** The head and the end of a stored image: `docs/formats/stored-image.md`. Nothing of what it says is believed unseen. */
import { createHash } from 'node:crypto'
import { isKilnError } from '../../lib/errors.ts'
import { isId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { type PieceReader, StreamEnded } from '../../lib/piece-reader.ts'
import { regionNames } from '../../lib/regions.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { Tag } from '../../state/tags.ts'
import { checkImageText } from '../images/image-names.ts'
import { gib } from '../volumes/volume-disks.ts'

const magic = Buffer.from('KILNIMAG', 'latin1')
const version = 1
const digestBytes = 32
/** Of a volume, in one block. */
const blockBytes = 512 * 1024

export interface StoredDevice {
  deviceName: string
  /** Which of the snapshots it begins with; null for a volume that begins empty. */
  snapshot: number | null
  /** Null for an ephemeral disk, which has a virtual name. */
  sizeGib: number | null
  volumeType: string | null
  iops: number | null
  throughput: number | null
  deleteOnTermination: boolean
  virtualName: string | null
}

export interface StoredSnapshot {
  id: string
  sizeBytes: number
  /** Blocks that are not zeros. */
  blockCount: number
  description: string
  tags: readonly Tag[]
}

export interface StoredImageFacts {
  image: {
    id: string
    region: string
    name: string
    description: string | null
    architecture: string
    rootDeviceName: string
    virtualizationType: string
    enaSupport: boolean
    sriovNetSupport: string | null
    bootMode: string | null
    imdsSupport: string | null
    platformDetails: string
    tags: readonly Tag[]
  }
  devices: readonly StoredDevice[]
  snapshots: readonly StoredSnapshot[]
}

export function encodeHeader(facts: StoredImageFacts): Buffer {
  const json = Buffer.from(JSON.stringify(facts))
  const fixed = Buffer.alloc(magic.length + 2 + 4)
  magic.copy(fixed)
  fixed.writeUInt16BE(version, magic.length)
  fixed.writeUInt32BE(json.length, magic.length + 2)
  return Buffer.concat([fixed, json, createHash('sha256').update(json).digest()])
}

/** Throws UnusableImage for what is no stored image, and for one that could not be an image here. */
export async function readHeader(reader: PieceReader): Promise<StoredImageFacts> {
  try {
    const fixed = await reader.take(magic.length + 2 + 4)
    if (!fixed.subarray(0, magic.length).equals(magic)) throw new UnusableImage('it is no stored image')
    const found = fixed.readUInt16BE(magic.length)
    if (found !== version) throw new UnusableImage(`it is a stored image of version ${found}, and ${version} is read`)
    const length = fixed.readUInt32BE(magic.length + 2)
    if (length > limits.storedImageFactsBytes) throw new UnusableImage(`its header claims to have ${length} bytes`)
    const json = await reader.take(length)
    const digest = await reader.take(digestBytes)
    if (!createHash('sha256').update(json).digest().equals(digest)) throw new UnusableImage('its header is damaged')
    return checkedFacts(json)
  } catch (error) {
    if (error instanceof StreamEnded) throw new UnusableImage(error.message, { cause: error })
    throw error
  }
}

/** Passes everything on, and then says what it was: the digest of all bytes before. */
export async function* withDigest(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const digest = createHash('sha256')
  for await (const piece of content) {
    digest.update(piece)
    yield piece
  }
  yield digest.digest()
}

/** Throws UnusableImage when anything before was changed, and when something follows. */
export async function readEnd(reader: PieceReader): Promise<void> {
  const { digest } = reader
  if (!(await reader.take(digestBytes)).equals(digest)) throw new UnusableImage('it is damaged: its digest is another')
  if (!(await reader.isAtEnd())) throw new UnusableImage(`it goes on after its end at byte ${reader.offsetBytes}`)
}

function checkedFacts(json: Buffer): StoredImageFacts {
  let facts: unknown
  try {
    facts = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch (cause) {
    throw new UnusableImage('its header is no JSON', { cause })
  }
  const at = new Facts(facts, 'its header')
  const snapshots = at.list('snapshots', limits.disksPerInstance).map(readSnapshot)
  const read = { image: readImage(at.object('image')), devices: at.list('devices', 100).map(readDevice), snapshots }
  checkDevices(read)
  return read
}

function readImage(image: Facts): StoredImageFacts['image'] {
  const read = {
    id: image.text('id', 64),
    region: image.text('region', 64),
    name: image.text('name', 128),
    description: image.textOrNull('description', 255),
    architecture: image.text('architecture', 32),
    rootDeviceName: image.text('rootDeviceName', 64),
    virtualizationType: image.text('virtualizationType', 32),
    enaSupport: image.flag('enaSupport'),
    sriovNetSupport: image.textOrNull('sriovNetSupport', 32),
    bootMode: image.textOrNull('bootMode', 32),
    imdsSupport: image.textOrNull('imdsSupport', 32),
    platformDetails: image.text('platformDetails', 64),
    tags: image.tags('tags'),
  }
  if (!isId('image', read.id)) throw image.flaw('id')
  if (!Object.hasOwn(regionNames, read.region)) throw image.flaw('region')
  try {
    checkImageText(read.name, read.description)
  } catch (error) {
    if (isKilnError(error)) throw new UnusableImage(error.message, { cause: error })
    throw error
  }
  return read
}

function readSnapshot(snapshot: Facts): StoredSnapshot {
  const sizeBytes = snapshot.count('sizeBytes', limits.volumeGibMax * gib)
  if (sizeBytes === 0 || sizeBytes % gib !== 0) throw snapshot.flaw('sizeBytes')
  return {
    id: snapshot.text('id', 64),
    sizeBytes,
    blockCount: snapshot.count('blockCount', sizeBytes / blockBytes),
    description: snapshot.text('description', 255),
    tags: snapshot.tags('tags'),
  }
}

function readDevice(device: Facts): StoredDevice {
  return {
    deviceName: device.text('deviceName', 64),
    snapshot: device.countOrNull('snapshot', limits.disksPerInstance),
    sizeGib: device.countOrNull('sizeGib', limits.volumeGibMax),
    volumeType: device.textOrNull('volumeType', 32),
    iops: device.countOrNull('iops', 1_000_000),
    throughput: device.countOrNull('throughput', 1_000_000),
    deleteOnTermination: device.flag('deleteOnTermination'),
    virtualName: device.textOrNull('virtualName', 32),
  }
}

/** The root begins with a snapshot, and each snapshot is begun with by somebody. */
function checkDevices({ image, devices, snapshots }: StoredImageFacts): void {
  const used = new Set(devices.flatMap((device) => device.snapshot ?? []))
  const root = devices.find((device) => device.deviceName === image.rootDeviceName)
  const isWhole = snapshots.every((_, index) => used.has(index)) && used.size === snapshots.length
  if (!isWhole || (root?.snapshot ?? null) === null) throw new UnusableImage('its devices do not fit its snapshots')
}

/** An object of the header, whose every member is looked at before it is used. */
class Facts {
  readonly #members: Record<string, unknown>
  readonly #where: string

  constructor(value: unknown, where: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new UnusableImage(`${where} is no object`)
    this.#members = value as Record<string, unknown>
    this.#where = where
  }

  flaw(name: string): UnusableImage {
    return new UnusableImage(`${name} is not what it can be in ${this.#where}`)
  }

  object(name: string): Facts {
    return new Facts(this.#members[name], `${name} of ${this.#where}`)
  }

  list(name: string, most: number): Facts[] {
    const list = this.#members[name]
    if (!Array.isArray(list) || list.length > most) throw this.flaw(name)
    return list.map((item, index) => new Facts(item, `${name}[${index}] of ${this.#where}`))
  }

  text(name: string, most: number): string {
    const text = this.#members[name]
    if (typeof text !== 'string' || text.length > most || text.includes('\0')) throw this.flaw(name)
    return text
  }

  textOrNull(name: string, most: number): string | null {
    return this.#members[name] === null ? null : this.text(name, most)
  }

  count(name: string, most: number): number {
    const count = this.#members[name]
    if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0 || count > most) throw this.flaw(name)
    return count
  }

  countOrNull(name: string, most: number): number | null {
    return this.#members[name] === null ? null : this.count(name, most)
  }

  flag(name: string): boolean {
    const flag = this.#members[name]
    if (typeof flag !== 'boolean') throw this.flaw(name)
    return flag
  }

  tags(name: string): Tag[] {
    const tags = this.list(name, limits.tagsPerResource).map((tag) => ({
      key: tag.text('key', limits.tagKeyLength),
      value: tag.text('value', limits.tagValueLength),
    }))
    const keys = new Set(tags.map((tag) => tag.key))
    const isReserved = (key: string) => key === '' || key.toLowerCase().startsWith('aws:')
    if (keys.size < tags.length || [...keys].some(isReserved)) throw this.flaw(name)
    return tags
  }
}
