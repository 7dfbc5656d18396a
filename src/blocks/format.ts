/**
 * What leaves and roots look like: the code to `docs/formats/block-store.md`, version 1. Both encodings are canonical
 * (one content, one byte string), so equal content has equal names in every store. Decoders trust nothing.
 */
import { hash } from 'node:crypto'
import { CorruptObject, type Hash } from './store.ts'

export const blockBytes = 512 * 1024
export const blocksPerLeaf = 1024
export const leafSpanBytes = blockBytes * blocksPerLeaf
/** 64 TiB, EC2's largest volume. */
export const volumeBytesMax = 64 * 1024 ** 4

/** Content of a block of zeros. It has a name, but is never stored and stands in no leaf. */
export const zeroBlock: Buffer = Buffer.alloc(blockBytes)
export const zeroHash: Hash = '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541'

const formatVersion = 1
const hashBytes = 32
const leafMagic = Buffer.from('KILNLEAF', 'latin1')
const rootMagic = Buffer.from('KILNROOT', 'latin1')
const leafHeaderBytes = leafMagic.length + 2
const bitmapBytes = blocksPerLeaf / 8
const leafFixedBytes = leafHeaderBytes + bitmapBytes
const rootHeaderBytes = rootMagic.length + 2 + 8 + 4
const rootEntryBytes = 4 + 2 + hashBytes

/** No content of that kind is longer: the bound for every buffer that a stored object is decoded into. */
export const contentBytesMax = {
  block: blockBytes,
  leaf: leafFixedBytes + blocksPerLeaf * hashBytes,
  root: rootHeaderBytes + (volumeBytesMax / leafSpanBytes) * rootEntryBytes,
} as const

const hashShape = /^[0-9a-f]{64}$/

export function isHash(text: string): text is Hash {
  return hashShape.test(text)
}

export function hashOf(content: Buffer): Hash {
  return hash('sha256', content, 'hex')
}

export function isZeroBlock(content: Buffer): boolean {
  return content.equals(zeroBlock)
}

/** Blocks that a volume of that size has, the last one perhaps padded. */
export function blocksIn(sizeBytes: number): number {
  return Math.ceil(sizeBytes / blockBytes)
}

/** The names of 1,024 neighbouring blocks, of which some are zeros and have none. */
export class Leaf {
  readonly blockCount: number
  readonly #content: Buffer
  /** For each slot where its name begins in the content, 0 for a block of zeros. */
  readonly #offsets: Uint16Array

  /** Takes validated content only; see {@link decodeLeaf}. */
  constructor(content: Buffer) {
    this.#content = content
    this.#offsets = new Uint16Array(blocksPerLeaf)
    let next = leafFixedBytes
    for (let slot = 0; slot < blocksPerLeaf; slot++) {
      if (!hasBit(content, slot)) continue
      this.#offsets[slot] = next
      next += hashBytes
    }
    this.blockCount = (next - leafFixedBytes) / hashBytes
  }

  /** The block's name; undefined for a block of zeros. */
  hashAt(slot: number): Hash | undefined {
    const offset = this.#offsets[slot]
    return offset ? this.#content.toString('hex', offset, offset + hashBytes) : undefined
  }

  has(slot: number): boolean {
    return this.#offsets[slot] !== 0
  }

  /** The names of all blocks that are not zeros, in order; a name may come twice. */
  *hashes(): Generator<Hash> {
    for (let slot = 0; slot < blocksPerLeaf; slot++) {
      const name = this.hashAt(slot)
      if (name !== undefined) yield name
    }
  }
}

function hasBit(content: Buffer, slot: number): boolean {
  return (content[leafHeaderBytes + (slot >> 3)]! & (1 << (slot & 7))) !== 0
}

/** Encodes up to 1,024 names, `undefined` standing for zeros. A leaf of zeros alone has no encoding: leave it out of the root. */
export function encodeLeaf(hashes: readonly (Hash | undefined)[]): Buffer {
  const present = hashes.filter((name) => name !== undefined)
  if (hashes.length > blocksPerLeaf || present.length === 0) throw new RangeError('a leaf names 1 to 1024 blocks')
  const content = Buffer.alloc(leafFixedBytes + present.length * hashBytes)
  leafMagic.copy(content)
  content.writeUInt16BE(formatVersion, leafMagic.length)
  let next = leafFixedBytes
  for (const [slot, name] of hashes.entries()) {
    if (name === undefined) continue
    if (!isHash(name) || name === zeroHash) throw new RangeError(`slot ${slot} cannot name ${name}`)
    content[leafHeaderBytes + (slot >> 3)]! |= 1 << (slot & 7)
    next += content.write(name, next, 'hex')
  }
  return content
}

/** Throws {@link CorruptObject} unless the content is exactly what {@link encodeLeaf} gives for some names. */
export function decodeLeaf(content: Buffer, name: Hash, where: string): Leaf {
  const fail = (detail: string): never => {
    throw new CorruptObject('leaf', name, where, detail)
  }
  if (content.length < leafFixedBytes) fail(`${content.length} bytes are too few`)
  if (!content.subarray(0, leafMagic.length).equals(leafMagic)) fail('it does not begin like a leaf')
  const version = content.readUInt16BE(leafMagic.length)
  if (version !== formatVersion) fail(`version ${version} is unknown`)
  const leaf = new Leaf(content)
  if (leaf.blockCount === 0) fail('it names no block')
  const expectedBytes = leafFixedBytes + leaf.blockCount * hashBytes
  if (content.length !== expectedBytes) fail(`${content.length} bytes instead of ${expectedBytes}`)
  for (const block of leaf.hashes()) if (block === zeroHash) fail('it names a block of zeros')
  return leaf
}

/** Where a leaf stands in its volume. */
export interface LeafRef {
  /** The leaf covers bytes [index * 512 MiB, (index + 1) * 512 MiB). */
  index: number
  /** Blocks that the leaf names, 1 to 1,024. */
  blockCount: number
  hash: Hash
}

export interface Root {
  sizeBytes: number
  /** In ascending order of `index`; a span of zeros has none. */
  leaves: readonly LeafRef[]
}

export function encodeRoot(root: Root): Buffer {
  const content = Buffer.alloc(rootHeaderBytes + root.leaves.length * rootEntryBytes)
  rootMagic.copy(content)
  let next = content.writeUInt16BE(formatVersion, rootMagic.length)
  next = content.writeBigUInt64BE(BigInt(root.sizeBytes), next)
  next = content.writeUInt32BE(root.leaves.length, next)
  for (const leaf of root.leaves) {
    next = content.writeUInt32BE(leaf.index, next)
    next = content.writeUInt16BE(leaf.blockCount, next)
    next += content.write(leaf.hash, next, 'hex')
  }
  const flaw = flawOf(root)
  if (flaw) throw new RangeError(`root: ${flaw}`)
  return content
}

/** Throws {@link CorruptObject} unless the content is exactly what {@link encodeRoot} gives for some root. */
export function decodeRoot(content: Buffer, name: Hash, where: string): Root {
  const fail = (detail: string): never => {
    throw new CorruptObject('root', name, where, detail)
  }
  if (content.length < rootHeaderBytes) fail(`${content.length} bytes are too few`)
  if (!content.subarray(0, rootMagic.length).equals(rootMagic)) fail('it does not begin like a root')
  const version = content.readUInt16BE(rootMagic.length)
  if (version !== formatVersion) fail(`version ${version} is unknown`)
  const size = content.readBigUInt64BE(10)
  if (size > BigInt(volumeBytesMax)) fail(`a volume of ${size} bytes is too large`)
  const leafCount = content.readUInt32BE(18)
  const expectedBytes = rootHeaderBytes + leafCount * rootEntryBytes
  if (content.length !== expectedBytes) fail(`${content.length} bytes instead of ${expectedBytes}`)
  const leaves: LeafRef[] = []
  for (let at = rootHeaderBytes; at < content.length; at += rootEntryBytes) {
    leaves.push({
      index: content.readUInt32BE(at),
      blockCount: content.readUInt16BE(at + 4),
      hash: content.toString('hex', at + 6, at + 6 + hashBytes),
    })
  }
  const root = { sizeBytes: Number(size), leaves }
  const flaw = flawOf(root)
  if (flaw) fail(flaw)
  return root
}

/** What breaks the rules of a root, or undefined. */
function flawOf(root: Root): string | undefined {
  if (!Number.isSafeInteger(root.sizeBytes) || root.sizeBytes < 1 || root.sizeBytes > volumeBytesMax)
    return `a volume of ${root.sizeBytes} bytes is out of bounds`
  let previous = -1
  for (const { index, blockCount, hash } of root.leaves) {
    if (!Number.isInteger(index) || index <= previous) return `leaf ${index} follows leaf ${previous}`
    const room = Math.min(blocksIn(root.sizeBytes) - index * blocksPerLeaf, blocksPerLeaf)
    if (room <= 0) return `leaf ${index} lies beyond the volume's end`
    if (!Number.isInteger(blockCount) || blockCount < 1 || blockCount > room)
      return `leaf ${index} claims ${blockCount} blocks where ${room} fit`
    if (!isHash(hash)) return `leaf ${index} has no valid name`
    previous = index
  }
  return undefined
}

/** A leaf read in its place must agree with what the root says of it. */
export function checkLeafInRoot(leaf: Leaf, ref: LeafRef, sizeBytes: number, where: string): void {
  if (leaf.blockCount !== ref.blockCount)
    throw new CorruptObject(
      'leaf',
      ref.hash,
      where,
      `it names ${leaf.blockCount} blocks, its root says ${ref.blockCount}`,
    )
  const room = blocksIn(sizeBytes) - ref.index * blocksPerLeaf
  for (let slot = Math.max(room, 0); slot < blocksPerLeaf; slot++)
    if (leaf.has(slot))
      throw new CorruptObject('leaf', ref.hash, where, `it names block ${slot}, beyond the volume's end`)
}
