/**
 * What an ext3 or ext4 journal holds that has not come to its place yet. A snapshot of a running machine has always some:
 * the kernel would bring it there at the next mount, and here it is read as if that had happened. Source: "Journal (jbd2)"
 * in the kernel's documentation of ext4.
 */
import { UnreadableFileSystem } from './disk-bytes.ts'

const magic = 0xc03b3998
const blockType = { descriptor: 1, commit: 2, superblock1: 3, superblock2: 4, revoke: 5 } as const
const incompatible = { is64Bit: 2, checksums2: 8, checksums3: 16, fastCommit: 32, known: 63 } as const
const tagFlag = { escaped: 1, sameUuid: 2, last: 8 } as const
const uuidBytes = 16

interface Written {
  fsBlock: number
  journalBlock: number
  isEscaped: boolean
  sequence: number
}

/** Where the newest content of a block lies in the journal. */
export interface JournalledBlock {
  journalBlock: number
  /** Its first four bytes were the journal's own mark, and are zeros there. */
  isEscaped: boolean
}

interface Shape {
  blockBytes: number
  first: number
  end: number
  features: number
}

/** `readBlock` reads the journal's own blocks, from 0. Empty for a journal that has nothing left. */
export async function replayJournal(
  readBlock: (index: number) => Promise<Buffer>,
  blockCount: number,
): Promise<Map<number, JournalledBlock>> {
  const head = await readBlock(0)
  const type = head.readUInt32BE(4)
  if (head.readUInt32BE(0) !== magic || (type !== blockType.superblock1 && type !== blockType.superblock2)) {
    throw new UnreadableFileSystem('its journal is damaged')
  }
  const features = type === blockType.superblock2 ? head.readUInt32BE(0x28) : 0
  if (features & ~incompatible.known) throw new UnreadableFileSystem('its journal is of a newer kind')
  const end = Math.min(head.readUInt32BE(0x10), blockCount)
  const shape = { blockBytes: head.length, first: head.readUInt32BE(0x14), end, features }
  const start = head.readUInt32BE(0x1c)
  if (start === 0) return new Map()
  // Those lie beside the log, in a form of their own.
  if (features & incompatible.fastCommit) throw new UnreadableFileSystem('its journal may hold fast commits')
  if (shape.first < 1 || start < shape.first || start >= end) throw new UnreadableFileSystem('its journal is damaged')
  return newest(await readTransactions(readBlock, shape, start, head.readUInt32BE(0x18)))
}

async function readTransactions(
  readBlock: (index: number) => Promise<Buffer>,
  shape: Shape,
  start: number,
  firstSequence: number,
): Promise<{ written: Written[]; revoked: Map<number, number> }> {
  const written: Written[] = []
  const revoked = new Map<number, number>()
  let [pending, pendingRevokes]: [Written[], number[]] = [[], []]
  let sequence = firstSequence
  let at = start
  const next = () => {
    at = at + 1 >= shape.end ? shape.first : at + 1
  }
  // Nothing is read twice: a log that bites its own tail ends.
  for (let steps = shape.end - shape.first; steps > 0; steps--) {
    const block = await readBlock(at)
    if (block.readUInt32BE(0) !== magic || block.readUInt32BE(8) !== sequence) break
    const type = block.readUInt32BE(4)
    next()
    if (type === blockType.descriptor) {
      for (const { fsBlock, isEscaped } of tagsIn(block, shape)) {
        pending.push({ fsBlock, isEscaped, journalBlock: at, sequence })
        next()
        steps--
      }
    } else if (type === blockType.revoke) {
      pendingRevokes.push(...revokesIn(block, shape))
    } else if (type === blockType.commit) {
      written.push(...pending)
      for (const fsBlock of pendingRevokes) revoked.set(fsBlock, sequence)
      ;[pending, pendingRevokes] = [[], []]
      sequence = (sequence + 1) >>> 0
    } else {
      break
    }
  }
  return { written, revoked }
}

function* tagsIn(block: Buffer, { features }: Shape): Generator<{ fsBlock: number; isEscaped: boolean }> {
  const is64Bit = (features & incompatible.is64Bit) !== 0
  const hasChecksums3 = (features & incompatible.checksums3) !== 0
  const hasChecksums = (features & (incompatible.checksums2 | incompatible.checksums3)) !== 0
  const tagBytes = hasChecksums3 ? 16 : 12 + (features & incompatible.checksums2 ? 2 : 0) - (is64Bit ? 0 : 4)
  const end = block.length - (hasChecksums ? 4 : 0)
  for (let at = 12; at + tagBytes <= end; ) {
    const flags = hasChecksums3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6)
    const high = is64Bit ? block.readUInt32BE(at + 8) : 0
    yield { fsBlock: high * 2 ** 32 + block.readUInt32BE(at), isEscaped: (flags & tagFlag.escaped) !== 0 }
    if (flags & tagFlag.last) return
    at += tagBytes + (flags & tagFlag.sameUuid ? 0 : uuidBytes)
  }
}

function revokesIn(block: Buffer, { features }: Shape): number[] {
  const bytes = features & incompatible.is64Bit ? 8 : 4
  const end = Math.min(block.readUInt32BE(12), block.length)
  const found: number[] = []
  for (let at = 16; at + bytes <= end; at += bytes) {
    found.push(bytes === 8 ? Number(block.readBigUInt64BE(at)) : block.readUInt32BE(at))
  }
  return found
}

/** The last write of each block, but for those that were revoked in the same transaction or later. */
function newest({ written, revoked }: { written: Written[]; revoked: Map<number, number> }) {
  const blocks = new Map<number, JournalledBlock>()
  for (const { fsBlock, journalBlock, isEscaped, sequence } of written) {
    const revokedIn = revoked.get(fsBlock)
    if (revokedIn !== undefined && ((revokedIn - sequence) | 0) >= 0) blocks.delete(fsBlock)
    else blocks.set(fsBlock, { journalBlock, isEscaped })
  }
  return blocks
}

/** The journal's mark, which an escaped block begins with in its place. */
export const journalMagic = magic
