/** What the cloud asks of the blocks room. `snapshot-blocks.ts` implements it over the region stores. */
import type { PieceReader } from '../lib/piece-reader.ts'
import type { Hash, ObjectKind } from './store.ts'

/** What a root object says of itself. */
export interface RootInfo {
  sizeBytes: number
  /** Blocks that are not all zeros, each counted as often as it stands in the snapshot. */
  blockCount: number
  /** blockCount times the block size. */
  dataBytes: number
}

export interface CaptureStats {
  /** Blocks read from the source. */
  blocksRead: number
  /** Blocks that the store did not hold yet. */
  blocksWritten: number
  /** Bytes that the store grew by. */
  bytesStored: number
}

export interface CopyStats {
  blocksMoved: number
  /** Bytes that the target store grew by. */
  bytesMoved: number
  blocksPresent: number
}

export interface RepackResult {
  blocksPacked: number
  /** Bytes that the store shrank by. */
  bytesSaved: number
  /** Where to go on; null when all of the snapshot was seen. */
  nextLeaf: number | null
}

export interface Progress {
  /** 0 to 100, called at most a few times a second. */
  onPercent?: (percent: number) => void | Promise<void>
  signal?: AbortSignal
}

export interface CaptureSource {
  /** An NBD export with `base:allocation` and, for an increment, `qemu:allocation-depth`. */
  socketPath: string
  exportName: string
}

/** A piece of a disk. */
export interface DiskExtent {
  /** Byte of the disk. */
  start: number
  bytes: number
}

/** What a volume has had served from its snapshot so far; survives restarts of the block server. */
export interface VolumeReads {
  /** Distinct blocks fetched from the store for this volume. */
  blocksFetched: number
  bytesFetched: number
  bytesServed: number
}

/** What must stay in a region's store. */
export interface LiveObjects {
  /** Roots, with everything that they name. */
  roots: Hash[]
  /** Blocks that no leaf names yet. */
  blocks: Hash[]
}

/** What a collection took away. */
export interface Collected {
  roots: number
  leaves: number
  blocks: number
  /** Leftovers that were no objects, and damaged objects in quarantine that nobody needs any more. */
  otherFiles: number
  /** Bytes that the store shrank by, to the byte. Where files are shared with another store, that one still has them. */
  bytesFreed: number
  /** Why it ended before everything was done; the rest is left to the next one. */
  stopped: { reason: 'busy' | 'damaged' | 'foreign' | 'aborted'; message: string } | null
}

/** An object that is not as it should be. */
export interface Flaw {
  kind: ObjectKind
  hash: Hash
  problem: 'missing' | 'damaged'
  detail: string
  /** The roots that cannot be read whole because of it; for a single block perhaps none. */
  roots: Hash[]
  /** The region whose intact copy has taken its place; null when it is still not there. */
  repairedFrom: string | null
}

export interface CheckResult {
  /** Objects that were read and compared with their names. */
  objects: number
  /** Bytes of content that they hold. */
  bytes: number
  flaws: Flaw[]
}

/** How much of a store a snapshot takes, and how much of that nothing else needs. */
export interface RootUsage {
  dataBytes: number
  /** Bytes of the distinct objects that it consists of, as they are stored. */
  storedBytes: number
  /** Of these, bytes of objects that no other root needs. */
  uniqueBytes: number
  /** The other roots that share anything with it: indexes into the request's `roots`, and then on into `staying.roots`. */
  sharedWith: number[]
}

export interface RootDifference {
  sizeBytes: { before: number; after: number }
  /** Blocks of other content in both, blocks where there were zeros, and zeros where there were blocks. */
  blocks: { changed: number; added: number; removed: number }
  /** Bytes that these blocks cover. */
  bytes: number
  /** Leaves that had to be read for it, of both. */
  leavesRead: number
}

/** Care for what lies in the region stores: collecting, checking, measuring. */
export interface StoreCare {
  /** Regions that have a store on this host. */
  storedRegions(): Promise<string[]>
  /**
   * Removes what `live` does not name and what is older than `graceMs`. `live` is asked several times; it must name all
   * that was needed at any moment while it looks. Ends early when writers do not let it in, when what is live cannot be
   * read (and so not told from what is not), and on the signal. Does nothing when the store has another `owner`: what
   * that one needs is not in `live`. May be broken off at any moment.
   */
  collect(
    request: { region: string; owner: string; graceMs: number; live: () => Promise<LiveObjects> },
    progress?: Progress,
  ): Promise<Collected>
  /**
   * Reads everything live; nothing is collected meanwhile. With `repairFrom`, what is damaged is put into quarantine, and what those regions' stores have
   * intact takes its place.
   */
  check(
    request: { region: string; live: () => Promise<LiveObjects>; repairFrom?: readonly string[] },
    progress?: Progress,
  ): Promise<CheckResult>
  /**
   * Measures `roots`, and what would go if those at `leaving` (indexes) went and all others stayed, `staying` among them.
   */
  usage(
    request: { region: string; roots: readonly Hash[]; leaving: readonly number[]; staying: LiveObjects },
    progress?: Progress,
  ): Promise<{ roots: RootUsage[]; freedBytes: number }>
  /** Walks only what differs. */
  difference(request: { region: string; before: Hash; after: Hash }): Promise<RootDifference>
  /**
   * Bytes of the blocks (each as long as it is in the volume; zeros are none) that `root` has and `parent` does not have at
   * the same place. Walks only what differs; waits for no collection, so both must be live. The flaw, when an object that
   * must be read for it is missing or damaged.
   */
  ownBytes(request: { region: string; root: Hash; parent: Hash }): Promise<{ bytes: number } | { flaw: string }>
  /** Volumes that have counters on this host. */
  countedVolumes(): Promise<string[]>
}

/** One block of a snapshot. The name of a block of zeros is {@link SnapshotContents.zeroHash}: it has a name, but no object. */
export interface BlockAt {
  /** The block covers bytes [index * 512 KiB, (index + 1) * 512 KiB) of the volume. */
  index: number
  hash: Hash
}

/** A block in which two snapshots differ. */
export interface ChangedBlockAt {
  index: number
  /** Null where the first snapshot has zeros. */
  first: Hash | null
  second: Hash
}

export interface BlockPage<T> {
  /** In ascending order of their indexes; may be fewer than asked for, or none, with more to come. */
  items: T[]
  /** Where the next page begins; null when there is nothing more. */
  next: number | null
}

/** Where a page begins, and how many blocks it has at most. */
export interface BlockRange {
  fromIndex: number
  limit: number
}

/** What lies in a snapshot, block by block, and snapshots made of blocks that somebody sends. */
export interface SnapshotContents {
  readonly blockBytes: number
  readonly zeroHash: Hash
  /** The snapshot's blocks that are not zeros. */
  blocksFrom(request: { region: string; root: Hash } & BlockRange): Promise<BlockPage<BlockAt>>
  /**
   * The blocks of the second snapshot's volume that are not the same in both, found without looking at what the two
   * share. A block that became zeros is among them.
   */
  changesFrom(request: { region: string; first: Hash; second: Hash } & BlockRange): Promise<BlockPage<ChangedBlockAt>>
  /** The name of the block at that place, be it zeros; undefined beyond the end of the volume. */
  hashAt(region: string, root: Hash, index: number): Promise<Hash | undefined>
  /**
   * The block's content, checked against its name. The buffer may be shared: nobody may write into it. The key opens a
   * sealed block; one that it does not open is damaged.
   */
  read(region: string, hash: Hash, sealKey?: Buffer | null): Promise<Buffer>
  /** The name of a block of that content. */
  hashOf(content: Buffer): Hash
  /**
   * Takes a block's content (exactly `blockBytes`) under its name; on stable storage when it resolves. Zeros are not
   * stored. The bytes that the store grew by.
   */
  put(region: string, hash: Hash, content: Buffer): Promise<number>
  /** The same for a block that is sealed with that key, which gives it another name. That of zeros is {@link zeroHash} here too. */
  putSealed(region: string, content: Buffer, sealKey: Buffer): Promise<{ hash: Hash; storedBytes: number }>
  /**
   * A new snapshot: the parent's (or zeros) with the changed blocks in their places, which must come in ascending order
   * and must all have been {@link put}. It is committed before its root is named. Can be repeated.
   */
  assemble(request: AssemblyRequest, progress?: Progress): Promise<AssemblyResult>
}

export interface AssemblyRequest {
  region: string
  sizeBytes: number
  /** Of a volume that is not larger. */
  parent: Hash | null
  changes: AsyncIterable<BlockAt>
  /** How many changes come, for the progress. */
  changeCount: number
}

export interface AssemblyResult {
  root: Hash
  info: RootInfo
  /** Bytes that the store grew by: leaves and the root. */
  bytesStored: number
}

/** A snapshot that goes into a stream of bytes. */
export interface PackedSnapshot {
  root: Hash
  /** Opens the blocks of an encrypted one: what is sent is not sealed. */
  sealKey: Buffer | null
}

/** A snapshot that came out of one. */
export interface UnpackedSnapshot {
  root: Hash
  info: RootInfo
  /** Bytes that the store grew by. */
  bytesStored: number
}

/**
 * A region's store is made once, by {@link SnapshotBlocks.openRegion}. Everything else needs it to be there: a store that
 * is gone (its disk not mounted, its folder moved away) is an error that says so, and no empty one takes its place.
 */
export interface SnapshotBlocks extends StoreCare {
  readonly contents: SnapshotContents
  /** Makes the store of a region that nobody has used before. Can be repeated. */
  openRegion(region: string): Promise<void>
  /**
   * Reads a frozen disk into the region's store and commits; the root's name. With a parent, only extents whose
   * allocation depth is at most `changedDepth` are read; the rest is the parent's. Can be repeated: blocks already
   * stored are not stored again. The size may be larger than the parent's, never smaller.
   */
  capture(
    request: {
      region: string
      source: CaptureSource
      sizeBytes: number
      parent: { root: Hash; changedDepth: number } | null
      /** Seals the blocks (32 bytes); the parent's must be sealed with it too. */
      sealKey?: Buffer | null
    },
    progress?: Progress,
  ): Promise<{ root: Hash; info: RootInfo; stats: CaptureStats }>
  /** Brings all that `root` names into the other region's store and commits: only what it lacks is moved. Resumes. */
  copy(request: { root: Hash; fromRegion: string; toRegion: string }, progress?: Progress): Promise<CopyStats>
  /**
   * Brings all that `root` names into a region's store (which may be the same) under another key, as another root, and
   * commits. Blocks that are not sealed have no key. Can be repeated.
   */
  reseal(
    request: { root: Hash; fromRegion: string; toRegion: string; fromKey: Buffer | null; toKey: Buffer | null },
    progress?: Progress,
  ): Promise<{ root: Hash; info: RootInfo; stats: CopyStats }>
  /**
   * Writes all of a snapshot into a file, whole or not at all; resumes. Its folder must be there. Without a disk key the
   * file is raw, with one (32 bytes) it is a qcow2 file sealed under it. The seal key opens the snapshot's blocks.
   */
  materialize(
    request: {
      region: string
      root: Hash
      path: string
      diskKey: Buffer | null
      sealKey?: Buffer | null
      /** Of the volume's content; without it as fast as the host can. */
      bytesPerSecond?: number
    },
    progress?: Progress,
  ): Promise<void>
  /**
   * A root that {@link capture} or {@link copy} gave is kept for some minutes whatever the state says, until it says that
   * it needs it: this is for whoever has written it down.
   */
  settle(region: string, root: Hash): Promise<void>
  info(region: string, root: Hash): Promise<RootInfo>
  /**
   * Packs harder what `root` alone names: blocks that one of the other roots has as well are left as they are. Does a
   * part of the snapshot, beginning with the leaf `fromLeaf` (in the order of the root, from 0). Can be repeated.
   */
  repack(
    request: { region: string; root: Hash; others: readonly Hash[]; fromLeaf: number },
    progress?: Progress,
  ): Promise<RepackResult>
  /** Snapshots as a stream of bytes, which {@link unpack} brings into any store: `docs/formats/stored-image.md`, "Blocks". */
  pack(request: { region: string; snapshots: readonly PackedSnapshot[] }, progress?: Progress): AsyncIterable<Buffer>
  /**
   * Brings the snapshots of such a stream into the region's store. Each is committed before `onSnapshot` is told of it, and
   * kept for some minutes until {@link settle}. Can be repeated from the stream's beginning. Throws UnusableImage for a stream that is
   * not what it should be.
   */
  unpack(
    request: {
      region: string
      reader: PieceReader
      snapshots: readonly { sizeBytes: number; blockCount: number }[]
      /** Seals the blocks (32 bytes). */
      sealKey: Buffer | null
      onSnapshot(index: number, unpacked: UnpackedSnapshot): Promise<void>
    },
    progress?: Progress,
  ): Promise<void>
  /**
   * Where a served disk has blocks that are not said to be zeros, in order; neighbours are one piece. Of a disk of zeros, its
   * first block.
   */
  dataExtents(request: { source: CaptureSource; sizeBytes: number }, signal?: AbortSignal): Promise<DiskExtent[]>
  /**
   * The bytes of a served disk that lie in these extents, in order. Throws when the export is lost or has another size.
   */
  streamDisk(
    request: { source: CaptureSource; sizeBytes: number; extents: readonly DiskExtent[] },
    signal?: AbortSignal,
  ): AsyncIterable<Buffer>
  /** Reads all that `root` names. Throws when something is missing or damaged. */
  verify(request: { region: string; root: Hash }, progress?: Progress): Promise<void>
  /**
   * Makes sure that the block server runs and tells how to read a snapshot as the backing of that volume. Throws when
   * the region's store or the snapshot is not there.
   * `exportName` says everything that the server must know, so a restarted server needs no other state. The seal key, which
   * opens the snapshot's blocks, stands in it under the master key.
   */
  serve(request: {
    region: string
    root: Hash
    volumeId: string
    sealKey?: Buffer | null
  }): Promise<{ socketPath: string; exportName: string }>
  volumeReads(volumeId: string): Promise<VolumeReads>
  /** Forgets the counters of a deleted volume. */
  forgetVolume(volumeId: string): Promise<void>
  /** Block server down (guests that read from it wait until it is up again). */
  stopServer(): Promise<void>
}
