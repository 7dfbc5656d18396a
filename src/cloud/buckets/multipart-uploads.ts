/**
 * Objects that come in parts. Each part is kept when it is acknowledged; completing the upload names the parts' contents in
 * the object's row, in one transaction, and moves no byte. Source: "Uploading and copying objects using multipart upload".
 */
import { createHash } from 'node:crypto'
import { KilnError } from '../../lib/errors.ts'
import type { MultipartPart, MultipartUpload } from '../../state/multipart-uploads.ts'
import type { ObjectRow } from '../../state/objects.ts'
import type { CloudDeps } from '../deps.ts'
import { aclFor, type Requester, writeAcl } from './acl.ts'
import { accessDenied, type Bucket, type Buckets } from './buckets.ts'
import { type ChecksumAlgorithm, checksumOfParts, isPossibleType } from './checksums.ts'
import type { Contents } from './contents.ts'
import {
  type ObjectChecksum,
  type ObjectDescription,
  type ObjectPlace,
  objectOf,
  readChecksum,
  type StoredObject,
} from './object-facts.ts'
import { successorOf } from './object-listing.ts'
import { badDigest, checkCondition, type ObjectSource, type Objects, type WriteCondition } from './objects.ts'

export const partNumberMax = 10_000
const partBytesMin = 5 * 1024 ** 2
const allParts = { afterNumber: 0, limit: partNumberMax }

/** What the parts of an upload are checked with. */
export type UploadChecksum = Pick<ObjectChecksum, 'type'> & { algorithm: ChecksumAlgorithm }

export interface Upload {
  id: string
  key: string
  ownerId: string
  checksum: UploadChecksum | null
  createdAtMs: number
}

export interface Part {
  number: number
  etag: string
  sizeBytes: number
  checksum: ObjectChecksum | null
  modifiedAtMs: number
}

export interface Completion extends WriteCondition {
  parts: readonly { number: number; etag: string; checksum: string | null }[]
  /** What the object's checksum and size should be; null where the request does not say. */
  checksum: { algorithm: string; value: string } | null
  sizeBytes: number | null
}

export interface UploadsRequest {
  prefix: string
  afterKey: string
  /** Within `afterKey`; empty for after all uploads of that key. */
  afterId: string
  limit: number
}

export class MultipartUploads {
  readonly #deps: CloudDeps
  readonly #buckets: Buckets
  readonly #objects: Objects
  readonly #contents: Contents

  constructor(deps: CloudDeps, buckets: Buckets, objects: Objects, contents: Contents) {
    this.#deps = deps
    this.#buckets = buckets
    this.#objects = objects
    this.#contents = contents
  }

  /** Throws `InvalidRequest` for a checksum that parts cannot give. */
  async create(
    requester: Requester,
    place: ObjectPlace,
    description: ObjectDescription & { checksum: UploadChecksum | null },
  ): Promise<Upload> {
    const bucket = await this.#objects.writable(requester, place)
    const { headers = {}, metadata = {}, acl = { canned: 'private' }, checksum } = description
    if (checksum && !isPossibleType(checksum.algorithm, checksum.type)) {
      throw new KilnError(
        'InvalidRequest',
        `The ${checksum.type} checksum type cannot be used with the ${checksum.algorithm} checksum algorithm.`,
      )
    }
    const row: MultipartUpload = {
      id: this.#deps.random.bytes(24).toString('base64url'),
      bucketId: bucket.id,
      key: place.key,
      ownerId: requester,
      acl: writeAcl(aclFor(acl, requester, bucket.accountId)),
      headers: JSON.stringify(headers),
      metadata: JSON.stringify(metadata),
      checksum: checksum && JSON.stringify(checksum),
      createdAt: this.#deps.clock.now(),
    }
    await this.#deps.state.multipartUploads.insert(row)
    return uploadOf(row)
  }

  /** Writes a part, in place of one of the same number, and waits until it is kept. Throws `NoSuchUpload` … */
  async putPart(
    requester: Requester,
    place: ObjectPlace,
    at: { uploadId: string; partNumber: number },
    source: Pick<ObjectSource, 'content' | 'md5' | 'checksum'>,
  ): Promise<Part> {
    const { state, clock } = this.#deps
    const bucket = await this.#objects.writable(requester, place)
    const upload = await this.#find(bucket, place.key, at.uploadId)
    return await this.#contents.bring(bucket.region, source.content, async ({ name, sizeBytes, md5 }) => {
      if (source.md5 !== undefined && source.md5 !== md5) throw badDigest('Content-MD5')
      const checksum = source.checksum?.() ?? null
      checkPartChecksum(upload, checksum)
      const row: MultipartPart = {
        uploadId: upload.id,
        partNumber: at.partNumber,
        contentName: name,
        etag: md5,
        sizeBytes,
        checksum: checksum && JSON.stringify(checksum),
        modifiedAt: clock.now(),
      }
      const replaced = await state.transaction(async (tx) => {
        if (!(await tx.multipartUploads.get(upload.id))) throw noSuchUpload()
        return await tx.multipartUploads.putPart(row)
      })
      await this.#contents.discard(bucket.region, replaced)
      return partOf(row)
    })
  }

  /**
   * Makes the object out of the named parts; the others go. Asked again after that, it gives the same answer as long as
   * the object is there. Throws `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, `BadDigest`, `PreconditionFailed`.
   */
  async complete(
    requester: Requester,
    place: ObjectPlace,
    uploadId: string,
    completion: Completion,
  ): Promise<StoredObject> {
    const { state, clock, random } = this.#deps
    const bucket = await this.#objects.writable(requester, place)
    const etag = etagOfParts(completion.parts)
    const upload = await state.multipartUploads.get(uploadId)
    if (!upload) return await this.#completedBefore(bucket, place.key, etag)
    checkPlace(upload, bucket, place.key)
    const parts = await this.#partsOf(upload, completion)
    const checksum = await this.#checksumOf(upload, parts, completion)
    const { key, ownerId, acl, headers, metadata } = upload
    const row: ObjectRow = {
      ...{ key, ownerId, acl, headers, metadata, etag },
      id: random.bytes(12).toString('hex'),
      bucketId: bucket.id,
      sizeBytes: parts.reduce((sum, part) => sum + Number(part.sizeBytes), 0),
      checksum: checksum && JSON.stringify(checksum),
      partCount: parts.length,
      tags: null,
      modifiedAt: clock.now(),
    }
    const contents = parts.flatMap(({ contentName, sizeBytes }, seq) =>
      contentName === null ? [] : [{ seq, contentName, sizeBytes }],
    )
    const freed = await state.transaction(async (tx) => {
      if (!(await tx.multipartUploads.get(upload.id))) throw noSuchUpload()
      checkCondition(await tx.objects.get(bucket.id, key), completion)
      checkUnchanged(parts, await tx.multipartUploads.parts(upload.id, allParts))
      return [...(await tx.objects.put(row, contents)), ...(await tx.multipartUploads.remove(upload.id))]
    })
    await this.#contents.discard(bucket.region, freed)
    return objectOf(row, bucket.region)
  }

  /** Throws `NoSuchUpload`. */
  async abort(requester: Requester, place: ObjectPlace, uploadId: string): Promise<void> {
    const { bucket, upload } = await this.#own(requester, place, uploadId)
    const freed = await this.#deps.state.transaction((tx) => tx.multipartUploads.remove(upload.id))
    await this.#contents.discard(bucket.region, freed)
  }

  async listParts(
    requester: Requester,
    place: ObjectPlace,
    uploadId: string,
    about: { afterNumber: number; limit: number },
  ): Promise<{ upload: Upload; parts: Part[]; isTruncated: boolean }> {
    const { upload } = await this.#own(requester, place, uploadId)
    const rows = await this.#deps.state.multipartUploads.parts(upload.id, { ...about, limit: about.limit + 1 })
    const parts = rows.slice(0, about.limit).map(partOf)
    return { upload: uploadOf(upload), parts, isTruncated: rows.length > about.limit }
  }

  async list(
    requester: Requester,
    bucketName: string,
    { prefix, afterKey, afterId, limit }: UploadsRequest,
  ): Promise<{ uploads: Upload[]; isTruncated: boolean }> {
    const { state } = this.#deps
    const bucket = await this.#buckets.find(requester, bucketName)
    const marker = afterId === '' ? undefined : await state.multipartUploads.get(afterId)
    // An upload that has come to an end since cannot say where it stood: then its key's others are passed over.
    const after = marker ?? (afterKey === '' ? null : { key: afterKey, createdAt: Number.MAX_SAFE_INTEGER, id: '' })
    const rows = await state.multipartUploads.range(bucket.id, {
      from: prefix,
      before: successorOf(prefix),
      after,
      limit: limit + 1,
    })
    return { uploads: rows.slice(0, limit).map(uploadOf), isTruncated: rows.length > limit }
  }

  async #find(bucket: Bucket, key: string, uploadId: string): Promise<MultipartUpload> {
    const upload = await this.#deps.state.multipartUploads.get(uploadId)
    if (!upload) throw noSuchUpload()
    checkPlace(upload, bucket, key)
    return upload
  }

  /** For whoever began it, and the bucket's owner. */
  async #own(requester: Requester, place: ObjectPlace, uploadId: string) {
    const bucket = await this.#buckets.get(place.bucket)
    const upload = await this.#find(bucket, place.key, uploadId)
    if (requester !== upload.ownerId && requester !== bucket.accountId) throw accessDenied()
    return { bucket, upload }
  }

  async #completedBefore(bucket: Bucket, key: string, etag: string): Promise<StoredObject> {
    const row = await this.#deps.state.objects.get(bucket.id, key)
    if (row?.etag === etag) return objectOf(row, bucket.region)
    throw noSuchUpload()
  }

  async #partsOf({ id }: MultipartUpload, { parts: named, sizeBytes }: Completion): Promise<MultipartPart[]> {
    if (named.some((part, i) => i > 0 && named[i - 1]!.number >= part.number)) {
      throw new KilnError('InvalidPartOrder', 'The list of parts was not in ascending order by part number.')
    }
    const there = new Map(
      (await this.#deps.state.multipartUploads.parts(id, allParts)).map((part) => [part.partNumber, part]),
    )
    const parts = named.map(({ number, etag, checksum }) => {
      const part = there.get(number)
      const isSame = part?.etag === etag && (checksum === null || readChecksum(part.checksum)?.value === checksum)
      if (part && isSame) return part
      throw new KilnError(
        'InvalidPart',
        `Part ${number} could not be found: it was not uploaded, or its entity tag or checksum is another.`,
      )
    })
    const small = parts.slice(0, -1).find((part) => part.sizeBytes < partBytesMin)
    if (small) {
      throw new KilnError(
        'EntityTooSmall',
        `Your proposed upload is smaller than the minimum allowed size: part ${small.partNumber} has ${small.sizeBytes} bytes, and all but the last need ${partBytesMin}.`,
      )
    }
    const total = parts.reduce((sum, part) => sum + Number(part.sizeBytes), 0)
    if (sizeBytes !== null && sizeBytes !== total) {
      throw new KilnError(
        'InvalidRequest',
        `The parts have ${total} bytes, and x-amz-mp-object-size says ${sizeBytes}.`,
      )
    }
    return parts
  }

  async #checksumOf(
    upload: MultipartUpload,
    parts: readonly MultipartPart[],
    { checksum: told }: Completion,
  ): Promise<ObjectChecksum | null> {
    const wanted = uploadOf(upload).checksum
    if (!wanted) return null
    const ofParts = parts.map((part) => ({
      value: readChecksum(part.checksum)!.value,
      sizeBytes: Number(part.sizeBytes),
    }))
    const checksum = await checksumOfParts(wanted.algorithm, wanted.type, ofParts)
    const isSame =
      !told || (told.algorithm === wanted.algorithm && told.value.split('-')[0] === checksum.value.split('-')[0])
    if (!isSame) throw badDigest(told.algorithm)
    return checksum
  }
}

function checkPlace(upload: MultipartUpload, bucket: Bucket, key: string): void {
  if (upload.bucketId !== bucket.id || upload.key !== key) throw noSuchUpload()
}

/** Parts of an upload that named an algorithm carry a checksum of that. */
function checkPartChecksum(upload: MultipartUpload, checksum: ObjectChecksum | null): void {
  const wanted = uploadOf(upload).checksum
  if (!wanted || wanted.algorithm === checksum?.algorithm) return
  throw new KilnError(
    'InvalidRequest',
    `Checksum Type mismatch occurred, expected checksum Type: ${wanted.algorithm.toLowerCase()}, actual checksum Type: ${checksum?.algorithm.toLowerCase() ?? 'null'}`,
  )
}

/** A part that was written anew since it was looked at is another part. */
function checkUnchanged(parts: readonly MultipartPart[], now: readonly MultipartPart[]): void {
  const names = new Map(now.map((part) => [part.partNumber, part.contentName]))
  const changed = parts.find((part) => names.get(part.partNumber) !== part.contentName)
  if (!changed) return
  throw new KilnError('InvalidPart', `Part ${changed.partNumber} was written anew while the upload was completed.`)
}

/** The MD5 of the parts' MD5s, and how many there are. */
function etagOfParts(parts: readonly { etag: string }[]): string {
  const digest = createHash('md5')
  for (const { etag } of parts) digest.update(etag, 'hex')
  return `${digest.digest('hex')}-${parts.length}`
}

function noSuchUpload(): KilnError {
  return new KilnError(
    'NoSuchUpload',
    'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
  )
}

function uploadOf({ id, key, ownerId, checksum, createdAt }: MultipartUpload): Upload {
  return { id, key, ownerId, checksum: checksum === null ? null : JSON.parse(checksum), createdAtMs: Number(createdAt) }
}

function partOf({ partNumber, etag, sizeBytes, checksum, modifiedAt }: MultipartPart): Part {
  return {
    number: partNumber,
    etag,
    sizeBytes: Number(sizeBytes),
    checksum: readChecksum(checksum),
    modifiedAtMs: Number(modifiedAt),
  }
}
