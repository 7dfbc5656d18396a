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
  /** The object's content, checked against its name. Throws {@link MissingObject} or {@link CorruptObject}. */
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
  /** Puts everything written so far on stable storage. */
  commit(): Promise<void>
  /**
   * Puts one object on stable storage, whoever wrote it: cheaper than {@link commit} for who answers for each object by
   * itself. Drivers without it commit.
   */
  settle?(kind: ObjectKind, hash: Hash): Promise<void>
  /** All objects of a kind, in no order. */
  list(kind: ObjectKind): AsyncIterable<Hash>
  /** Bytes that an object takes in the store. */
  storedBytes(kind: ObjectKind, hash: Hash): Promise<number>
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
