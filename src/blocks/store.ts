/**
 * The port to where blocks lie: one store a region. Drivers: a local folder now; an S3-compatible service later. All
 * pass `store.suite.ts`. `docs/formats/block-store.md` is the specification of what lies in it.
 */

/** 64 lower-case hexadecimal digits of a SHA-256. */
export type Hash = string

/** Objects are named by the SHA-256 of their content before any compression. */
/** In the order in which they may be written: what is named comes before what names it. */
export const objectKinds = ['block', 'leaf', 'root'] as const
export type ObjectKind = (typeof objectKinds)[number]

export interface BlockStore {
  /** Names the store in messages. */
  readonly where: string
  has(kind: ObjectKind, hash: Hash): Promise<boolean>
  /** The object's content (of a sealed block: the sealed bytes), checked against its name. Throws {@link MissingObject} or {@link CorruptObject}. */
  read(kind: ObjectKind, hash: Hash): Promise<Buffer>
  /** Stores content under its hash unless it is there; the bytes written (0 when it was there). Durable after {@link commit}. */
  write(kind: ObjectKind, hash: Hash, content: Buffer): Promise<number>
  /** The object as stored (codec byte and payload), its content checked as {@link read} does. */
  readEncoded(kind: ObjectKind, hash: Hash): Promise<Buffer>
  /** Stores what another store's {@link readEncoded} gave, without packing it anew; otherwise like {@link write}. */
  writeEncoded(kind: ObjectKind, hash: Hash, encoded: Buffer): Promise<number>
  /**
   * Packs a stored object harder, if that makes it smaller; the bytes saved. Readers find the old packing or the new one,
   * at any moment and after any crash: the new one is on stable storage before it takes the name.
   */
  repack(kind: ObjectKind, hash: Hash): Promise<number>
  /**
   * Like {@link writeEncoded} from that store, but the two may share one file afterwards: a flaw of the disk under it
   * would show in both, so this is for stores that are copies of each other anyway. Drivers without it copy.
   */
  linkFrom?(source: BlockStore, kind: ObjectKind, hash: Hash): Promise<number>
  /** Puts everything written and removed so far on stable storage. */
  commit(): Promise<void>
  /**
   * Puts one object on stable storage, whoever wrote it: cheaper than {@link commit} for who answers for each object by
   * itself. Drivers without it commit.
   */
  settle?(kind: ObjectKind, hash: Hash): Promise<void>
  /** All objects of a kind whose names begin with those two digits (or with anything), in no order. */
  list(kind: ObjectKind, firstDigits?: string): AsyncIterable<Hash>
  /** Bytes that an object takes in the store. Throws {@link MissingObject}. */
  storedBytes(kind: ObjectKind, hash: Hash): Promise<number>
  /** When the object came to its name, by the store's clock; undefined when it is not there. */
  changedAtMs(kind: ObjectKind, hash: Hash): Promise<number | undefined>
  /**
   * Takes an object away; the bytes that it took, 0 when it was not there. No write may be under way. What names it must
   * have gone before, durably: see the order in `docs/formats/block-store.md`.
   */
  remove(kind: ObjectKind, hash: Hash): Promise<number>
  /**
   * Takes a damaged object out of service: its bytes are kept aside and never served. For one that is missing, that is
   * noted. From then on the store {@link hasGaps}, until the object is in service again.
   */
  quarantine(kind: ObjectKind, hash: Hash): Promise<void>
  /** Something that leaves or roots name is known to be missing: then what is there does not prove what it names to be. */
  hasGaps(): Promise<boolean>
  /** What lies in quarantine. */
  quarantined(): Promise<{ kind: ObjectKind; hash: Hash }[]>
  /** Removes an object's bytes, or the note of it, from quarantine; the bytes that it took. */
  forgetQuarantined(kind: ObjectKind, hash: Hash): Promise<number>
  /**
   * Who keeps the account of what is needed here: set by the first who asks, and told ever after. Whoever has another
   * account must not remove what is missing from it.
   */
  ownedBy(owner: string): Promise<string>
  /** Removes leftovers from before that time that are no objects, such as half-written ones. No write may be under way. */
  removeStrays(beforeMs: number): Promise<{ files: number; bytes: number }>
}

export class MissingObject extends Error {
  constructor(kind: ObjectKind, hash: Hash, where: string) {
    super(`${kind} ${hash} is missing in ${where}`)
    this.name = 'MissingObject'
  }
}

export class CorruptObject extends Error {
  constructor(kind: ObjectKind, hash: Hash, where: string, detail: string) {
    super(`${kind} ${hash} in ${where} is damaged: ${detail}`)
    this.name = 'CorruptObject'
  }
}
