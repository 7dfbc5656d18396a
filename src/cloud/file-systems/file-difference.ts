/** The files in which two states of one file system differ: by what their inodes say, and where those say the same, by what they hold. */
import { type ByteSource, UnreadableFileSystem } from './disk-bytes.ts'
import { type Extent, ExtFileSystem, type Inode, modeKind, rootInode } from './ext.ts'

export type FileKind = 'file' | 'directory' | 'link' | 'device' | 'fifo' | 'socket' | 'unknown'
/** `inode`: another file that says and holds the same has taken its place. */
export type Aspect = 'kind' | 'content' | 'mode' | 'owner' | 'times' | 'inode'

export interface FileChange {
  change: 'added' | 'removed' | 'changed'
  /** Bytes that are no UTF-8 are written `\xNN`, and a backslash is doubled then. */
  path: string
  kind: FileKind
  /** Null where there is no file. */
  sizeBytes: { before: number | null; after: number | null }
  /** What of it changed; empty for what was added or removed. */
  aspects: Aspect[]
}

/** One side of the comparison. */
export interface Side {
  source: ByteSource
  /** Whether the two disks differ in any byte of that range. */
  differsIn(offsetBytes: number, lengthBytes: number): boolean
}

const filesMax = 2_000_000
const pathBytesMax = 64 * 1024
const comparedBytes = 512 * 1024

interface Tree {
  fileSystem: ExtFileSystem
  budget: Budget
  /** By path, as bytes in latin1. */
  files: Map<string, Inode>
}

/** Files that share blocks against the rules could hold more than any disk: comparing them would never end. */
class Budget {
  #leftBytes: number
  readonly #signal: AbortSignal | undefined

  constructor(sizeBytes: number, signal?: AbortSignal) {
    this.#leftBytes = sizeBytes
    this.#signal = signal
  }

  take(bytes: number): void {
    this.#signal?.throwIfAborted()
    this.#leftBytes -= bytes
    if (this.#leftBytes < 0) throw new UnreadableFileSystem('its files hold more than the disk')
  }
}

export interface FileDifference {
  kind: { before: string; after: string }
  label: string
  changes: FileChange[]
}

/** Throws {@link UnreadableFileSystem}. Changes come in the order of their paths. */
export async function fileDifference(
  before: ByteSource,
  after: ByteSource,
  differsIn: Side['differsIn'],
  signal?: AbortSignal,
): Promise<FileDifference> {
  const [a, b] = [await readTree(before, signal), await readTree(after, signal)]
  const changes: FileChange[] = []
  for (const [path, inode] of a.files) {
    if (!b.files.has(path)) changes.push(oneSided('removed', path, inode))
  }
  for (const [path, inode] of b.files) {
    signal?.throwIfAborted()
    const former = a.files.get(path)
    if (!former) {
      changes.push(oneSided('added', path, inode))
      continue
    }
    const aspects = await aspectsOf(a, former, b, inode, differsIn)
    if (aspects.length === 0) continue
    const sizeBytes = { before: sizeOf(former), after: sizeOf(inode) }
    changes.push({ change: 'changed', path: readable(path), kind: kindOf(inode), sizeBytes, aspects })
  }
  changes.sort((x, y) => (x.path < y.path ? -1 : 1))
  return { kind: { before: a.fileSystem.kind, after: b.fileSystem.kind }, label: b.fileSystem.label, changes }
}

async function readTree(source: ByteSource, signal?: AbortSignal): Promise<Tree> {
  const fileSystem = await ExtFileSystem.open(source)
  const files = new Map<string, Inode>()
  // A directory has one name: one that is found again leads in a circle.
  const directories = new Set([rootInode])
  const waiting: { path: string; inode: Inode }[] = [{ path: '', inode: await fileSystem.inode(rootInode) }]
  files.set('/', waiting[0]!.inode)
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    signal?.throwIfAborted()
    for await (const { name, inode: number } of fileSystem.entries(next.inode)) {
      const path = `${next.path}/${name.toString('latin1')}`
      if (path.length > pathBytesMax) throw new UnreadableFileSystem('its directories are nested without an end')
      if (files.size >= filesMax) throw new UnreadableFileSystem(`it has more than ${filesMax} files`)
      const inode = await fileSystem.inode(number)
      files.set(path, inode)
      if ((inode.mode & modeKind.mask) !== modeKind.directory) continue
      if (directories.has(number)) throw new UnreadableFileSystem('its directories lead in a circle')
      directories.add(number)
      waiting.push({ path, inode })
    }
  }
  // Each block is compared for either side at most, and some more where pieces are smaller than what is compared.
  return { fileSystem, budget: new Budget(4 * source.sizeBytes, signal), files }
}

async function aspectsOf(
  a: Tree,
  before: Inode,
  b: Tree,
  after: Inode,
  differsIn: Side['differsIn'],
): Promise<Aspect[]> {
  const aspects: Aspect[] = []
  const kind = kindOf(after)
  if (kindOf(before) !== kind) return ['kind']
  const isReplaced = before.number !== after.number || before.generation !== after.generation
  if (kind !== 'directory' && (await differInContent(a, before, b, after, differsIn))) aspects.push('content')
  if ((before.mode ^ after.mode) & 0o7777) aspects.push('mode')
  if (before.uid !== after.uid || before.gid !== after.gid) aspects.push('owner')
  const hasOtherTimes = before.mtimeNs !== after.mtimeNs || before.ctimeNs !== after.ctimeNs
  // A directory's times follow from what changed in it, which is told by itself.
  if (aspects.length === 0 && kind !== 'directory' && hasOtherTimes) aspects.push('times')
  if (aspects.length === 0 && isReplaced) aspects.push('inode')
  return aspects
}

async function differInContent(
  a: Tree,
  before: Inode,
  b: Tree,
  after: Inode,
  differsIn: Side['differsIn'],
): Promise<boolean> {
  if (before.sizeBytes !== after.sizeBytes) return true
  if (!hasBlocks(after) || !hasBlocks(before)) return !before.map.equals(after.map)
  const [one, other] = [await a.fileSystem.extents(before), await b.fileSystem.extents(after)]
  const { blockBytes } = b.fileSystem
  if (sameExtents(one, other) && a.fileSystem.blockBytes === blockBytes) {
    const touched = other.filter(({ physical, count }) => {
      if (differsIn(physical * blockBytes, count * blockBytes)) return true
      return isJournalled(a, physical, count) || isJournalled(b, physical, count)
    })
    if (touched.length === 0) return false
  }
  return await differInBytes(a, one, b, other, after.sizeBytes)
}

const isJournalled = ({ fileSystem }: Tree, physical: number, count: number) => {
  for (let i = 0; i < count; i++) if (fileSystem.isJournalled(physical + i)) return true
  return false
}

function sameExtents(a: readonly Extent[], b: readonly Extent[]): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => x.logical === b[i]!.logical && x.physical === b[i]!.physical && x.count === b[i]!.count)
  )
}

/** Compares where either has blocks: all else is zeros in both. */
async function differInBytes(
  a: Tree,
  one: readonly Extent[],
  b: Tree,
  other: readonly Extent[],
  sizeBytes: number,
): Promise<boolean> {
  const ranges = [...rangesOf(a, one), ...rangesOf(b, other)]
  for (const { from, to } of ranges) {
    for (let at = from; at < Math.min(to, sizeBytes); at += comparedBytes) {
      const length = Math.min(comparedBytes, to - at, sizeBytes - at)
      a.budget.take(length)
      if (!(await contentOf(a, one, at, length)).equals(await contentOf(b, other, at, length))) return true
    }
  }
  return false
}

const rangesOf = ({ fileSystem: { blockBytes } }: Tree, extents: readonly Extent[]) =>
  extents.map(({ logical, count }) => ({ from: logical * blockBytes, to: (logical + count) * blockBytes }))

/** Bytes of a file; between its extents there are zeros. */
async function contentOf({ fileSystem }: Tree, extents: readonly Extent[], offsetBytes: number, lengthBytes: number) {
  const { blockBytes } = fileSystem
  const target = Buffer.alloc(lengthBytes)
  const [first, last] = [Math.floor(offsetBytes / blockBytes), Math.ceil((offsetBytes + lengthBytes) / blockBytes)]
  for (const { logical, physical, count } of extents) {
    for (let block = Math.max(first, logical); block < Math.min(last, logical + count); block++) {
      const content = await fileSystem.block(physical + block - logical)
      const at = block * blockBytes - offsetBytes
      content.copy(target, Math.max(0, at), Math.max(0, -at))
    }
  }
  return target
}

/** A short link's goal and a device's numbers lie in the inode itself. */
const hasBlocks = (inode: Inode) => {
  const kind = kindOf(inode)
  return kind === 'file' || (kind === 'link' && inode.sizeBytes >= 60)
}

const kinds: Readonly<Record<number, FileKind>> = {
  [modeKind.file]: 'file',
  [modeKind.directory]: 'directory',
  [modeKind.link]: 'link',
  [modeKind.character]: 'device',
  [modeKind.block]: 'device',
  [modeKind.fifo]: 'fifo',
  [modeKind.socket]: 'socket',
}

const kindOf = ({ mode }: Inode): FileKind => kinds[mode & modeKind.mask] ?? 'unknown'
const sizeOf = (inode: Inode) => inode.sizeBytes

function oneSided(change: 'added' | 'removed', path: string, inode: Inode): FileChange {
  const size = sizeOf(inode)
  const sizeBytes = change === 'added' ? { before: null, after: size } : { before: size, after: null }
  return { change, path: readable(path), kind: kindOf(inode), sizeBytes, aspects: [] }
}

function readable(path: string): string {
  const bytes = Buffer.from(path, 'latin1')
  const text = bytes.toString('utf8')
  if (Buffer.from(text, 'utf8').equals(bytes)) return text
  return path
    .replaceAll('\\', '\\\\')
    .replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
