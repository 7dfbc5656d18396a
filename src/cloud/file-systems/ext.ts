/**
 * ext2, ext3 and ext4, read and never mounted: what a guest has written there is not to be trusted, so every number is
 * bounded and nothing of it reaches the kernel. Source: "ext4 Data Structures and Algorithms" in the kernel's
 * documentation.
 */
import { type ByteSource, UnreadableFileSystem } from './disk-bytes.ts'
import { type JournalledBlock, journalMagic, replayJournal } from './ext-journal.ts'

export interface Inode {
  number: number
  mode: number
  uid: number
  gid: number
  sizeBytes: number
  /** Nanoseconds since the epoch. */
  mtimeNs: bigint
  ctimeNs: bigint
  generation: number
  flags: number
  /** The map of its blocks; of a short symbolic link or a device what it leads to. */
  map: Buffer
}

/** A run of a file's blocks. */
export interface Extent {
  logical: number
  physical: number
  count: number
}

export interface DirectoryEntry {
  /** Whatever bytes a guest has written: all but a slash and NUL. */
  name: Buffer
  inode: number
}

type ReadMap = (block: number) => Promise<Buffer>

export const rootInode = 2
export const modeKind = {
  mask: 0xf000,
  directory: 0x4000,
  file: 0x8000,
  link: 0xa000,
  character: 0x2000,
  block: 0x6000,
  fifo: 0x1000,
  socket: 0xc000,
} as const

const incompatible = { recover: 0x4, extents: 0x40, is64Bit: 0x80 } as const
/** filetype, recover, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, largedir, casefold: none changes what is read here. */
const understood = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x20000
const unread: readonly [number, string][] = [
  [0x8, 'it is the journal of another'],
  [0x10, 'it has its group descriptors in meta groups'],
  [0x8000, 'it keeps content within inodes'],
  [0x10000, 'it is encrypted'],
]
const inodeFlag = { extents: 0x80000 } as const
const extentMagic = 0xf30a
const extentDepthMax = 5
const extentsMax = 4_000_000
/** Blocks of maps that are read for one file, however they lead into each other. */
const mapBlocksMax = 100_000
const directoryBytesMax = 1024 ** 3
const unwritten = 32_768

export class ExtFileSystem {
  readonly kind: 'ext2' | 'ext3' | 'ext4'
  readonly label: string
  readonly uuid: string
  readonly blockBytes: number
  readonly #source: ByteSource
  readonly #inodeBytes: number
  readonly #inodesPerGroup: number
  readonly #inodeCount: number
  readonly #descriptorBytes: number
  readonly #firstDataBlock: number
  readonly #journalInode: number
  #journalled: ReadonlyMap<number, JournalledBlock> = new Map()
  #journalExtents: readonly Extent[] = []

  private constructor(source: ByteSource, head: Buffer) {
    const u32 = (at: number) => head.readUInt32LE(at)
    const [compatible, features, readOnly] = [u32(0x5c), u32(0x60), u32(0x64)]
    for (const [flag, why] of unread) if (features & flag) throw new UnreadableFileSystem(why)
    if (features & ~understood) throw new UnreadableFileSystem(`it has features that are not known here (${features})`)
    if (u32(0x18) > 6) throw new UnreadableFileSystem('its superblock is damaged')
    this.#source = source
    this.blockBytes = 1024 << u32(0x18)
    this.#inodeCount = u32(0)
    this.#firstDataBlock = u32(0x14)
    this.#inodesPerGroup = u32(0x28)
    this.#inodeBytes = u32(0x4c) === 0 ? 128 : head.readUInt16LE(0x58)
    this.#descriptorBytes = features & incompatible.is64Bit ? head.readUInt16LE(0xfe) : 32
    this.#journalInode = compatible & 0x4 ? u32(0xe0) : 0
    this.kind = features & incompatible.extents || readOnly & 0x400 ? 'ext4' : this.#journalInode ? 'ext3' : 'ext2'
    this.uuid = head.toString('hex', 0x68, 0x78)
    this.label = head.toString('utf8', 0x78, 0x88).replace(/\0.*$/s, '')
    const isSane =
      this.#inodesPerGroup > 0 &&
      this.#inodeBytes >= 128 &&
      this.#inodeBytes <= this.blockBytes &&
      this.#descriptorBytes >= 32 &&
      this.#descriptorBytes <= 1024
    if (!isSane) throw new UnreadableFileSystem('its superblock is damaged')
  }

  /** Throws {@link UnreadableFileSystem}. */
  static async open(source: ByteSource): Promise<ExtFileSystem> {
    const head = await source.read(1024, 1024)
    if (head.readUInt16LE(0x38) !== 0xef53) throw new UnreadableFileSystem('it is none of ext2, ext3 and ext4')
    const fileSystem = new ExtFileSystem(source, head)
    if (head.readUInt32LE(0x60) & incompatible.recover) await fileSystem.#replay()
    return fileSystem
  }

  async #replay(): Promise<void> {
    if (this.#journalInode === 0) throw new UnreadableFileSystem('its journal lies elsewhere')
    const journal = await this.inode(this.#journalInode)
    this.#journalExtents = await this.extents(journal)
    const blocks = Math.floor(journal.sizeBytes / this.blockBytes)
    const readBlock = (index: number) => this.#readJournal(index)
    this.#journalled = await replayJournal(readBlock, blocks)
  }

  async #readJournal(index: number): Promise<Buffer> {
    const extent = this.#journalExtents.find(({ logical, count }) => index >= logical && index < logical + count)
    if (!extent) throw new UnreadableFileSystem('its journal has holes')
    return await this.#source.read((extent.physical + index - extent.logical) * this.blockBytes, this.blockBytes)
  }

  /** A block as it will be once the journal was replayed. */
  async block(number: number): Promise<Buffer> {
    const journalled = this.#journalled.get(number)
    if (!journalled) return await this.#source.read(number * this.blockBytes, this.blockBytes)
    const block = await this.#readJournal(journalled.journalBlock)
    if (journalled.isEscaped) block.writeUInt32BE(journalMagic, 0)
    return block
  }

  /** Whether what a block holds waits in the journal. */
  isJournalled(number: number): boolean {
    return this.#journalled.has(number)
  }

  async inode(number: number): Promise<Inode> {
    if (number < 1 || number > this.#inodeCount) throw new UnreadableFileSystem(`it refers to the inode ${number}`)
    const [group, index] = [Math.floor((number - 1) / this.#inodesPerGroup), (number - 1) % this.#inodesPerGroup]
    const at = group * this.#descriptorBytes
    const descriptors = await this.block(this.#firstDataBlock + 1 + Math.floor(at / this.blockBytes))
    const inside = at % this.blockBytes
    const high = this.#descriptorBytes >= 64 ? descriptors.readUInt32LE(inside + 0x28) : 0
    const table = high * 2 ** 32 + descriptors.readUInt32LE(inside + 8)
    const offset = index * this.#inodeBytes
    const block = await this.block(table + Math.floor(offset / this.blockBytes))
    return readInode(number, block.subarray(offset % this.blockBytes, (offset % this.blockBytes) + this.#inodeBytes))
  }

  /** The runs of blocks that hold what was written of a file, in order; what lies between them is zeros. */
  async extents(inode: Inode): Promise<Extent[]> {
    const found: Extent[] = []
    let mapBlocks = 0
    const read = (number: number) => {
      if (++mapBlocks > mapBlocksMax) throw new UnreadableFileSystem('the map of a file has no end')
      return this.block(number)
    }
    if (inode.flags & inodeFlag.extents) await this.#extentTree(inode.map, extentDepthMax, found, read)
    else await this.#blockMap(inode, found, read)
    return found
  }

  async #extentTree(node: Buffer, depthMax: number, found: Extent[], read: ReadMap): Promise<void> {
    const [mark, entries, depth] = [node.readUInt16LE(0), node.readUInt16LE(2), node.readUInt16LE(6)]
    const isSane = mark === extentMagic && depth <= depthMax && 12 + entries * 12 <= node.length
    if (!isSane) throw new UnreadableFileSystem('the map of a file is damaged')
    for (let at = 12; at < 12 + entries * 12; at += 12) {
      if (found.length > extentsMax) throw new UnreadableFileSystem(`a file has more than ${extentsMax} pieces`)
      if (depth > 0) {
        const child = node.readUInt16LE(at + 8) * 2 ** 32 + node.readUInt32LE(at + 4)
        await this.#extentTree(await read(child), depth - 1, found, read)
        continue
      }
      const count = node.readUInt16LE(at + 4)
      // What was reserved and not written reads as zeros.
      if (count > unwritten) continue
      const physical = node.readUInt16LE(at + 6) * 2 ** 32 + node.readUInt32LE(at + 8)
      found.push({ logical: node.readUInt32LE(at), physical, count })
    }
  }

  /** Twelve blocks are named in the inode, the others by blocks of names, up to three deep. */
  async #blockMap(inode: Inode, found: Extent[], read: ReadMap): Promise<void> {
    const names = this.blockBytes / 4
    const blocks = Math.ceil(inode.sizeBytes / this.blockBytes)
    const add = (logical: number, physical: number) => {
      const last = found.at(-1)
      const continues = last && last.logical + last.count === logical && last.physical + last.count === physical
      if (continues) last.count++
      else found.push({ logical, physical, count: 1 })
      if (found.length > extentsMax) throw new UnreadableFileSystem(`a file has more than ${extentsMax} pieces`)
    }
    const walk = async (block: number, depth: number, logical: number): Promise<void> => {
      if (block === 0 || logical >= blocks) return
      if (depth === 0) return add(logical, block)
      const node = await read(block)
      const span = names ** (depth - 1)
      for (let i = 0; i < names && logical + i * span < blocks; i++) {
        await walk(node.readUInt32LE(i * 4), depth - 1, logical + i * span)
      }
    }
    for (let i = 0; i < 12; i++) await walk(inode.map.readUInt32LE(i * 4), 0, i)
    let logical = 12
    for (let depth = 1; depth <= 3; depth++) {
      await walk(inode.map.readUInt32LE((11 + depth) * 4), depth, logical)
      logical += names ** depth
    }
  }

  /** Without `.` and `..`. */
  async *entries(directory: Inode): AsyncGenerator<DirectoryEntry> {
    if (directory.sizeBytes > directoryBytesMax) throw new UnreadableFileSystem('a directory is larger than any can be')
    for (const { physical, count } of await this.extents(directory)) {
      for (let i = 0; i < count; i++) yield* this.#entriesIn(await this.block(physical + i))
    }
  }

  /** Blocks of a hashed directory's index look like one entry of no inode. */
  *#entriesIn(block: Buffer): Generator<DirectoryEntry> {
    for (let at = 0; at + 8 <= block.length; ) {
      const inode = block.readUInt32LE(at)
      const written = block.readUInt16LE(at + 4)
      const length = written === 65_535 || written === 0 ? block.length : written
      const nameBytes = block[at + 6]!
      if (length < 8 || at + length > block.length || 8 + nameBytes > length) {
        throw new UnreadableFileSystem('a directory is damaged')
      }
      const name = Buffer.from(block.subarray(at + 8, at + 8 + nameBytes))
      const text = name.toString('latin1')
      if (inode !== 0 && text !== '.' && text !== '..' && text !== '') yield { name, inode }
      at += length
    }
  }
}

function readInode(number: number, bytes: Buffer): Inode {
  const extra = bytes.length > 128 ? bytes.readUInt16LE(0x80) : 0
  const time = (at: number, extraAt: number) => {
    const more = extra >= extraAt - 0x80 + 4 ? bytes.readUInt32LE(extraAt) : 0
    const seconds = BigInt(bytes.readInt32LE(at)) + (BigInt(more & 3) << 32n)
    return seconds * 1_000_000_000n + BigInt(more >>> 2)
  }
  return {
    number,
    mode: bytes.readUInt16LE(0),
    uid: bytes.readUInt16LE(2) + bytes.readUInt16LE(0x78) * 65_536,
    gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 65_536,
    sizeBytes: bytes.readUInt32LE(4) + bytes.readUInt32LE(0x6c) * 2 ** 32,
    ctimeNs: time(0x0c, 0x84),
    mtimeNs: time(0x10, 0x88),
    flags: bytes.readUInt32LE(0x20),
    generation: bytes.readUInt32LE(0x64),
    map: Buffer.from(bytes.subarray(0x28, 0x28 + 60)),
  }
}
