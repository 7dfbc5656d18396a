/** The tables of S3: buckets, the objects in them, and the uploads that will be objects. */
import type { TimeMs } from '../schema.ts'

export interface BucketsTable {
  /** Told from every earlier bucket of the same name. */
  id: string
  /** No two buckets have one name, whoever's they are. */
  name: string
  accountId: string
  region: string
  /** JSON: who may do what with it. */
  acl: string
  createdAt: TimeMs
}

/** What an object and the upload that will be one have in common. */
interface ObjectFacts {
  bucketId: string
  /** UTF-8 of at most 1,024 bytes; sorted byte by byte. */
  key: string
  /** The account that wrote it. */
  ownerId: string
  /** JSON: who may do what with it. */
  acl: string
  /** JSON: HTTP headers that are kept with it, by their names in lower case. */
  headers: string
  /** JSON: the writer's own names and values. */
  metadata: string
}

export interface ObjectsTable extends ObjectFacts {
  /** Told from every earlier object of the same key. */
  id: string
  /** Without quotes. */
  etag: string
  sizeBytes: number
  /** JSON: the checksum that came with it, and was proved; null when none came. */
  checksum: string | null
  /** Of how many parts it was put together; null when it came in one piece. */
  partCount: number | null
  /** JSON; null when it has none. */
  tags: string | null
  modifiedAt: TimeMs
}

/** Where an object's bytes lie, in order. Copies in one region share them; an empty object has none. */
export interface ObjectContentsTable {
  objectId: string
  seq: number
  /** Names what the region's object store holds. */
  contentName: string
  sizeBytes: number
}

/** A multipart upload that was neither completed nor aborted. */
export interface MultipartUploadsTable extends ObjectFacts {
  id: string
  /** What its parts are checked with: JSON; null when that was left open. */
  checksum: string | null
  createdAt: TimeMs
}

export interface MultipartPartsTable {
  uploadId: string
  partNumber: number
  /** Null for a part of no bytes. */
  contentName: string | null
  etag: string
  sizeBytes: number
  /** JSON; null when none came. */
  checksum: string | null
  modifiedAt: TimeMs
}

export interface BucketTables {
  buckets: BucketsTable
  objects: ObjectsTable
  objectContents: ObjectContentsTable
  multipartUploads: MultipartUploadsTable
  multipartParts: MultipartPartsTable
}
