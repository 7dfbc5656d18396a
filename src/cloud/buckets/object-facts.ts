/** An object as the cloud speaks of it, and as its row keeps it. */
import type { ObjectRow } from '../../state/objects.ts'
import type { Tag } from '../../state/tags.ts'
import { type Acl, type AclRequest, readAcl } from './acl.ts'

/** Where an object is, or shall be. */
export interface ObjectPlace {
  bucket: string
  key: string
}

export interface ObjectChecksum {
  /** `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1`, `SHA256` */
  algorithm: string
  /** Of all bytes, or of the checksums of the parts. */
  type: 'FULL_OBJECT' | 'COMPOSITE'
  /** Base64; a composite one ends with a dash and the number of parts. */
  value: string
}

/** What a writer may say of an object besides its bytes. */
export interface ObjectDescription {
  /** HTTP headers to keep with it, names in lower case: `content-type`, `cache-control` … */
  headers?: Readonly<Record<string, string>>
  /** The writer's own names (in lower case) and values. */
  metadata?: Readonly<Record<string, string>>
  /** `private` unless given. */
  acl?: AclRequest
  tags?: readonly Tag[]
}

export interface StoredObject {
  id: string
  bucketId: string
  /** Of its bucket. */
  region: string
  key: string
  /** Without quotes. */
  etag: string
  sizeBytes: number
  modifiedAtMs: number
  headers: Readonly<Record<string, string>>
  metadata: Readonly<Record<string, string>>
  acl: Acl
  checksum: ObjectChecksum | null
  partCount: number | null
  tags: readonly Tag[]
}

export function objectOf(row: ObjectRow, region: string): StoredObject {
  const { id, bucketId, key, etag, partCount } = row
  return {
    ...{ id, bucketId, region, key, etag, partCount },
    sizeBytes: Number(row.sizeBytes),
    modifiedAtMs: Number(row.modifiedAt),
    headers: JSON.parse(row.headers),
    metadata: JSON.parse(row.metadata),
    acl: readAcl(row.ownerId, row.acl),
    checksum: readChecksum(row.checksum),
    tags: row.tags === null ? [] : JSON.parse(row.tags),
  }
}

export function readChecksum(text: string | null): ObjectChecksum | null {
  return text === null ? null : (JSON.parse(text) as ObjectChecksum)
}
