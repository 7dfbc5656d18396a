/**
 * Objects: whole or not at all. An object is there when its row is, and its row comes when its bytes are on stable storage;
 * of two writers of one key the later one to end has it. Source: the S3 API reference, operation by operation.
 */
import { assert, KilnError } from '../../lib/errors.ts'
import type { ObjectRow } from '../../state/objects.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { copiedBetweenRegions } from '../metering/charge-rules.ts'
import { type AclRequest, aclFor, allows, type Permission, type Requester, writeAcl } from './acl.ts'
import { accessDenied, type Bucket, type Buckets } from './buckets.ts'
import type { ContentSlice, Contents } from './contents.ts'
import { checkKey } from './names.ts'
import {
  type ObjectChecksum,
  type ObjectDescription,
  type ObjectPlace,
  objectOf,
  type StoredObject,
} from './object-facts.ts'
import { type ListingRequest, listObjects, type ObjectListing } from './object-listing.ts'

/** What must hold of the object that is there, or not there, when another is put in its place. */
export interface WriteCondition {
  /** Only in place of an object with this ETag. */
  ifMatch?: string
  /** `*`: only where there is no object. */
  ifNoneMatch?: '*'
}

export interface ObjectSource extends ObjectDescription, WriteCondition {
  /** Rejecting refuses the object: nothing of it stays. */
  content: AsyncIterable<Uint8Array>
  /** What its MD5 should be, in hexadecimal. */
  md5?: string | undefined
  /** The checksum that the content had; asked once all of it was read. */
  checksum?: () => ObjectChecksum | null
}

/** Which bytes are wanted: from `start` up to and not including `end`. */
export interface ByteRange {
  start: number
  end: number
}

/** An object whose bytes stay, even if it is deleted or replaced, until they are read to the end or it is closed. */
export interface OpenObject {
  readonly object: StoredObject
  /** The sizes of its parts in order; of an object that came in one piece, that alone. */
  readonly partSizes: readonly number[]
  /** All of it, or a range that lies within it. Once. Ending early closes it as well. */
  read(range?: ByteRange): AsyncIterable<Buffer>
  close(): Promise<void>
}

const openAttempts = 10

export class Objects {
  readonly #deps: CloudDeps
  readonly #buckets: Buckets
  readonly #contents: Contents

  constructor(deps: CloudDeps, buckets: Buckets, contents: Contents) {
    this.#deps = deps
    this.#buckets = buckets
    this.#contents = contents
  }

  /**
   * Writes an object and waits until it is kept. Throws `NoSuchBucket`, `AccessDenied`, `KeyTooLongError`,
   * `PreconditionFailed`, `BadDigest`.
   */
  async put(
    requester: Requester,
    place: ObjectPlace,
    source: ObjectSource,
    also: (tx: Repositories, sizeBytes: number) => Promise<void> = async () => {},
  ): Promise<StoredObject> {
    const bucket = await this.writable(requester, place)
    return await this.#contents.bring(bucket.region, source.content, async ({ name, sizeBytes, md5 }) => {
      if (source.md5 !== undefined && source.md5 !== md5) throw badDigest('Content-MD5')
      const checksum = source.checksum?.() ?? null
      const contents = name === null ? [] : [{ seq: 0, contentName: name, sizeBytes }]
      const row = { ...this.#newRow(requester, bucket, place.key, source), etag: md5, sizeBytes, partCount: null }
      return this.#place(
        bucket,
        { ...row, checksum: checksum && JSON.stringify(checksum) },
        source,
        async (tx, object) => {
          const replaced = await tx.objects.put(object, contents)
          await also(tx, sizeBytes)
          return replaced
        },
      )
    })
  }

  /** Throws `NoSuchKey`, or `AccessDenied` also when the requester may not know whether there is one. */
  async head(requester: Requester, place: ObjectPlace, permission: Permission = 'READ'): Promise<StoredObject> {
    const bucket = await this.#buckets.get(place.bucket)
    const row = await this.#deps.state.objects.get(bucket.id, place.key)
    if (!row) throw this.#missing(bucket, requester)
    const object = objectOf(row, bucket.region)
    if (allows(object.acl, requester, permission)) return object
    throw accessDenied()
  }

  /** The object, ready to be read. Close it, or read it to the end. Throws as {@link head} does. */
  async open(requester: Requester, place: ObjectPlace): Promise<OpenObject> {
    for (let attempt = 0; attempt < openAttempts; attempt++) {
      const object = await this.head(requester, place)
      const contents = await this.#deps.state.objects.contents(object.id)
      const release = this.#contents.hold(contents.map((content) => content.contentName))
      // Whoever takes the object away from now on leaves the contents to us.
      const isStillThere = (await this.#deps.state.objects.get(object.bucketId, object.key))?.id === object.id
      if (!isStillThere) {
        await release()
        continue
      }
      return {
        object,
        partSizes: contents.map((content) => Number(content.sizeBytes)),
        read: (range = { start: 0, end: object.sizeBytes }) =>
          released(this.#contents.read(object.region, slicesOf(contents, range)), release),
        close: release,
      }
    }
    throw new KilnError('OperationAborted', 'The object is being replaced again and again. Please try again.')
  }

  /**
   * Another object with the same bytes, which in one region share their room. Throws as {@link open} and {@link put} do;
   * `PreconditionFailed` when the source is replaced meanwhile.
   */
  async copy(
    requester: Requester,
    source: StoredObject & { bucket: string },
    place: ObjectPlace,
    description: ObjectDescription & WriteCondition,
  ): Promise<StoredObject> {
    const bucket = await this.writable(requester, place)
    if (bucket.region !== source.region) return await this.#copyAcross(requester, source, place, description)
    const { etag, sizeBytes, partCount, checksum } = source
    const described = { tags: source.tags, ...description }
    const row = { ...this.#newRow(requester, bucket, place.key, described), etag, sizeBytes, partCount }
    const object = { ...row, checksum: checksum && JSON.stringify(checksum) }
    return await this.#place(bucket, object, description, async (tx, placed) => {
      if ((await tx.objects.get(source.bucketId, source.key))?.id !== source.id) throw changedMeanwhile()
      return await tx.objects.put(placed, await tx.objects.contents(source.id))
    })
  }

  async #copyAcross(
    requester: Requester,
    source: StoredObject & { bucket: string },
    place: ObjectPlace,
    description: ObjectDescription & WriteCondition,
  ): Promise<StoredObject> {
    const open = await this.open(requester, source)
    try {
      if (open.object.id !== source.id) throw changedMeanwhile()
      const { checksum } = source
      const keptChecksum = checksum?.type === 'FULL_OBJECT' ? checksum : null
      const copy = { tags: source.tags, ...description, content: open.read(), checksum: () => keptChecksum }
      return await this.put(requester, place, copy, async (tx, sizeBytes) => {
        const resource = { resourceId: place.bucket, accountId: requester, region: source.region } as const
        await tx.usage.once({ ...resource, kind: 'bucket', imageId: null }, copiedBetweenRegions, BigInt(sizeBytes))
      })
    } finally {
      await open.close()
    }
  }

  async removeTags(requester: Requester, place: ObjectPlace): Promise<void> {
    const bucket = await this.writable(requester, place)
    const row = await this.#deps.state.objects.get(bucket.id, place.key)
    if (!row) throw this.#missing(bucket, requester)
    await this.#deps.state.objects.setTags(row.id, null)
  }

  async setAcl(requester: Requester, place: ObjectPlace, acl: AclRequest): Promise<void> {
    const object = await this.head(requester, place, 'WRITE_ACP')
    const bucket = await this.#buckets.get(place.bucket)
    const { ownerId } = object.acl
    await this.#deps.state.objects.setAcl(object.id, writeAcl(aclFor(acl, ownerId, bucket.accountId)))
  }

  /** Removes the object if there is one. Throws `NoSuchBucket` or `AccessDenied`. */
  async remove(requester: Requester, place: ObjectPlace, condition: WriteCondition = {}): Promise<void> {
    const bucket = await this.writable(requester, place)
    const freed = await this.#deps.state.transaction(async (tx) => {
      if (condition.ifMatch !== undefined) checkCondition(await tx.objects.get(bucket.id, place.key), condition)
      return await tx.objects.remove(bucket.id, place.key)
    })
    await this.#contents.discard(bucket.region, freed)
  }

  /** Removes those of the objects that there are, all at once. Throws as {@link remove} does. */
  async removeAll(requester: Requester, bucketName: string, keys: readonly string[]): Promise<void> {
    const bucket = await this.#buckets.find(requester, bucketName, 'WRITE')
    const freed = await this.#deps.state.transaction(async (tx) => {
      const names: string[] = []
      for (const key of keys) names.push(...(await tx.objects.remove(bucket.id, key)))
      return names
    })
    await this.#contents.discard(bucket.region, freed)
  }

  /** Objects by key, a page at a time. Throws `NoSuchBucket` or `AccessDenied`. */
  async list(requester: Requester, bucketName: string, request: ListingRequest): Promise<ObjectListing> {
    const bucket = await this.#buckets.find(requester, bucketName)
    return await listObjects(this.#deps.state, bucket.id, request)
  }

  /** Removes what a crash left in the stores: bytes that no object has. */
  async sweep(): Promise<void> {
    await this.#contents.sweep()
  }

  /** The bucket, if the requester may write that key there. */
  async writable(requester: Requester, { bucket, key }: ObjectPlace): Promise<Bucket> {
    checkKey(key)
    return await this.#buckets.find(requester, bucket, 'WRITE')
  }

  #newRow(requester: Requester, bucket: Bucket, key: string, description: ObjectDescription) {
    const { random, clock } = this.#deps
    const { headers = {}, metadata = {}, acl = { canned: 'private' }, tags = [] } = description
    return {
      id: random.bytes(12).toString('hex'),
      bucketId: bucket.id,
      key,
      ownerId: requester,
      acl: writeAcl(aclFor(acl, requester, bucket.accountId)),
      headers: JSON.stringify(headers),
      metadata: JSON.stringify(metadata),
      tags: tags.length === 0 ? null : JSON.stringify(tags),
      modifiedAt: clock.now(),
    }
  }

  /** Makes a row the one of its key, when the bucket is still there and the condition holds; then lets the replaced go. */
  async #place(
    bucket: Bucket,
    row: ObjectRow,
    condition: WriteCondition,
    put: (tx: Repositories, row: ObjectRow) => Promise<string[]>,
  ): Promise<StoredObject> {
    const freed = await this.#deps.state.transaction(async (tx) => {
      if (!(await tx.buckets.get(bucket.id))) {
        throw new KilnError('NoSuchBucket', 'The specified bucket does not exist')
      }
      checkCondition(await tx.objects.get(bucket.id, row.key), condition)
      return await put(tx, row)
    })
    await this.#contents.discard(bucket.region, freed)
    return objectOf(row, bucket.region)
  }

  #missing(bucket: Bucket, requester: Requester): KilnError {
    if (!allows(bucket.acl, requester, 'READ')) return accessDenied()
    return new KilnError('NoSuchKey', 'The specified key does not exist.')
  }
}

/** Throws `PreconditionFailed`, or `NoSuchKey` when an object should be there and is not. */
export function checkCondition(present: { etag: string } | undefined, { ifMatch, ifNoneMatch }: WriteCondition): void {
  if (ifNoneMatch === '*' && present) throw preconditionFailed('If-None-Match')
  if (ifMatch === undefined) return
  if (!present) throw new KilnError('NoSuchKey', 'The specified key does not exist.')
  if (ifMatch !== present.etag && ifMatch !== '*') throw preconditionFailed('If-Match')
}

export function badDigest(which: string): KilnError {
  return new KilnError('BadDigest', `The ${which} you specified did not match the calculated checksum.`)
}

export function preconditionFailed(which: string): KilnError {
  return new KilnError('PreconditionFailed', `At least one of the pre-conditions you specified did not hold: ${which}.`)
}

const changedMeanwhile = () => preconditionFailed('the source was replaced while it was copied')

/** Which bytes of which contents make up a range of an object. */
function slicesOf(
  contents: readonly { contentName: string; sizeBytes: number }[],
  { start, end }: ByteRange,
): ContentSlice[] {
  const slices: ContentSlice[] = []
  let at = 0
  for (const { contentName, sizeBytes } of contents) {
    const [from, to] = [Math.max(start, at), Math.min(end, at + Number(sizeBytes))]
    if (from < to) slices.push({ name: contentName, start: from - at, end: to - at })
    at += Number(sizeBytes)
  }
  assert(start >= 0 && end <= at, `the range from ${start} to ${end} lies within the ${at} bytes of the object`)
  return slices
}

/** Iterates once, and calls `release` at the end, however that comes; also when it is left before it began. */
function released(source: AsyncGenerator<Buffer>, release: () => Promise<void>): AsyncIterable<Buffer> {
  const iterator: AsyncIterator<Buffer> = {
    async next() {
      try {
        const result = await source.next()
        if (result.done) await release()
        return result
      } catch (error) {
        await release()
        throw error
      }
    },
    async return() {
      await source.return(undefined)
      await release()
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
