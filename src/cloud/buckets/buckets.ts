/** Buckets: made, found, listed, shared, removed. Source: the S3 API reference, operation by operation. */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { BucketRow } from '../../state/buckets.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type Acl, type AclRequest, aclFor, allows, type Permission, type Requester, readAcl, writeAcl } from './acl.ts'
import type { Contents } from './contents.ts'
import { checkBucketName } from './names.ts'

export interface Bucket {
  id: string
  name: string
  /** The owner. */
  accountId: string
  region: string
  acl: Acl
  createdAtMs: number
}

const uploadsAtOnce = 100

export class Buckets {
  readonly #deps: CloudDeps
  readonly #contents: Contents

  constructor(deps: CloudDeps, contents: Contents) {
    this.#deps = deps
    this.#contents = contents
  }

  /**
   * A new bucket of the account in the region. Throws `InvalidBucketName`, `BucketAlreadyExists` when another account has
   * it, `BucketAlreadyOwnedByYou`, `TooManyBuckets`.
   */
  async create(scope: Scope, name: string, acl: AclRequest): Promise<Bucket> {
    checkBucketName(name)
    const { state, objects, random, clock } = this.#deps
    const { accountId, region } = scope
    await objects.open(region)
    const row: BucketRow = {
      id: random.bytes(12).toString('hex'),
      name,
      accountId,
      region,
      acl: writeAcl(aclFor(acl, accountId, accountId)),
      createdAt: clock.now(),
    }
    await state.transaction(async (tx) => {
      const present = await tx.buckets.named(name)
      if (present) throw taken(present, accountId)
      if ((await tx.buckets.count(accountId)) >= limits.bucketsPerAccount) {
        throw new KilnError('TooManyBuckets', 'You have attempted to create more buckets than allowed.')
      }
      await tx.buckets.insert(row)
    })
    return bucketOf(row)
  }

  /** {@link create} for a private bucket, unless the account has it already. */
  async ensure(scope: Scope, name: string): Promise<void> {
    await this.create(scope, name, { canned: 'private' }).catch((error) => {
      if (!isKilnError(error) || error.code !== 'BucketAlreadyOwnedByYou') throw error
    })
  }

  /** Throws `NoSuchBucket`. Says nothing of who may use it. */
  async get(name: string): Promise<Bucket> {
    const row = await this.#deps.state.buckets.named(name)
    if (row) return bucketOf(row)
    throw new KilnError('NoSuchBucket', 'The specified bucket does not exist')
  }

  /** The bucket, if the requester may do that with it. Throws `NoSuchBucket` or `AccessDenied`. */
  async find(requester: Requester, name: string, permission: Permission = 'READ'): Promise<Bucket> {
    const bucket = await this.get(name)
    if (allows(bucket.acl, requester, permission)) return bucket
    throw accessDenied()
  }

  /** The bucket, if it is the requester's. Throws `NoSuchBucket` or `AccessDenied`. */
  async own(requester: Requester, name: string): Promise<Bucket> {
    const bucket = await this.get(name)
    if (bucket.accountId === requester) return bucket
    throw accessDenied()
  }

  async setAcl(requester: Requester, name: string, acl: AclRequest): Promise<void> {
    const bucket = await this.find(requester, name, 'WRITE_ACP')
    await this.#deps.state.buckets.setAcl(bucket.id, writeAcl(aclFor(acl, bucket.accountId, bucket.accountId)))
  }

  /** The account's buckets, of all regions unless one is given, by name. */
  async list(
    accountId: string,
    about: { prefix: string; after: string; limit: number; region?: string },
  ): Promise<{ buckets: Bucket[]; next: string | null }> {
    const rows = await this.#deps.state.buckets.list(accountId, { ...about, limit: about.limit + 1 })
    const buckets = rows.slice(0, about.limit).map(bucketOf)
    return { buckets, next: rows.length > about.limit ? buckets.at(-1)!.name : null }
  }

  /** Removes an empty bucket, with the uploads to it that came to no end. Throws `BucketNotEmpty`. */
  async remove(requester: Requester, name: string): Promise<void> {
    const { state } = this.#deps
    const { id, region } = await this.own(requester, name)
    const litter = await state.transaction(async (tx) => {
      if (await tx.buckets.hasObjects(id)) {
        throw new KilnError('BucketNotEmpty', 'The bucket you tried to delete is not empty')
      }
      const freed: string[] = []
      for (;;) {
        const uploads = await tx.multipartUploads.idsOf(id, uploadsAtOnce)
        for (const upload of uploads) freed.push(...(await tx.multipartUploads.remove(upload)))
        if (uploads.length < uploadsAtOnce) break
      }
      await tx.buckets.remove(id)
      return freed
    })
    await this.#contents.discard(region, litter)
  }
}

export function accessDenied(): KilnError {
  return new KilnError('AccessDenied', 'Access Denied')
}

function taken(present: BucketRow, accountId: string): KilnError {
  if (present.accountId !== accountId) {
    return new KilnError(
      'BucketAlreadyExists',
      'The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.',
    )
  }
  return new KilnError(
    'BucketAlreadyOwnedByYou',
    'Your previous request to create the named bucket succeeded and you already own it.',
  )
}

function bucketOf({ acl, createdAt, ...row }: BucketRow): Bucket {
  return { ...row, acl: readAcl(row.accountId, acl), createdAtMs: createdAt }
}
