/** What the cloud asks of the blocks room. `snapshot-blocks.ts` implements it over the region stores. */
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
  stopped: { reason: 'busy' | 'damaged' | 'aborted'; message: string } | null
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
   * read (and so not told from what is not), and on the signal. May be broken off at any moment.
   */
  collect(
    request: { region: string; graceMs: number; live: () => Promise<LiveObjects> },
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
  /** Volumes that have counters on this host. */
  countedVolumes(): Promise<string[]>
}

export interface SnapshotBlocks extends StoreCare {
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
    },
    progress?: Progress,
  ): Promise<{ root: Hash; info: RootInfo; stats: CaptureStats }>
  /** Brings all that `root` names into the other region's store and commits: only what it lacks is moved. Resumes. */
  copy(request: { root: Hash; fromRegion: string; toRegion: string }, progress?: Progress): Promise<CopyStats>
  /**
   * A root that {@link capture} or {@link copy} gave is kept for some minutes whatever the state says, until it says that
   * it needs it: this is for whoever has written it down.
   */
  settle(region: string, root: Hash): Promise<void>
  info(region: string, root: Hash): Promise<RootInfo>
  /**
   * Makes sure that the block server runs and tells how to read a snapshot as the backing of that volume.
   * `exportName` says everything that the server must know, so a restarted server needs no other state.
   */
  serve(request: { region: string; root: Hash; volumeId: string }): Promise<{ socketPath: string; exportName: string }>
  volumeReads(volumeId: string): Promise<VolumeReads>
  /** Forgets the counters of a deleted volume. */
  forgetVolume(volumeId: string): Promise<void>
  /** Block server down (guests that read from it wait until it is up again). */
  stopServer(): Promise<void>
}
