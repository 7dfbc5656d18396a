/**
 * The port behind which the contents of S3 objects lie: bytes under names that Kiln makes up, a region each. Which object
 * a content belongs to is known to the state alone, so a driver needs no order, no metadata and no rename: a local folder
 * has what it takes, and so has any S3-compatible service (a multipart upload, a ranged GET, a DELETE, a listing).
 */

export interface StoredContent {
  name: string
  sizeBytes: number
}

/** Which bytes of a content: from `start` up to and not including `end`. */
export interface ByteRange {
  start: number
  end: number
}

export interface ContentStore {
  /** Makes the region's store where there is none. Everything else needs one that is there. */
  open(region: string): Promise<void>
  /** Regions that have a store. */
  regions(): Promise<string[]>
  /** A name that no content has. */
  newName(): string
  /**
   * Keeps all that the source gives, under a new name; whole and on stable storage when it resolves. Rejects with what
   * the source threw, and leaves nothing then. Reads on only as fast as it can write.
   */
  write(region: string, name: string, source: AsyncIterable<Uint8Array>): Promise<StoredContent>
  /** Rejects with {@link ContentDamaged} when the content is missing or too short. */
  read(region: string, name: string, range: ByteRange): AsyncIterable<Buffer>
  /** Of what is not there, nothing is removed. */
  remove(region: string, name: string): Promise<void>
  /** All names, some at a time, those too that are being written. */
  list(region: string): AsyncIterable<string[]>
}

/** A content is not what the state says of it. */
export class ContentDamaged extends Error {
  constructor(region: string, name: string, why: string, options?: { cause?: unknown }) {
    super(`the content ${name} in the object store of ${region} is damaged: ${why}`, options)
    this.name = 'ContentDamaged'
  }
}
