/** Multipart uploads and their parts, until they are an object or aborted. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { MultipartPartsTable, MultipartUploadsTable } from './schema/buckets.ts'

export type MultipartUpload = Selectable<MultipartUploadsTable>
export type MultipartPart = Selectable<MultipartPartsTable>

export class MultipartUploadRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<MultipartUploadsTable>): Promise<void> {
    await this.#db.insertInto('multipartUploads').values(row).execute()
  }

  get(id: string): Promise<MultipartUpload | undefined> {
    return this.#db.selectFrom('multipartUploads').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Uploads of a bucket by key, then by age. `after` is the last one that was seen. */
  range(
    bucketId: string,
    about: {
      from: string
      before: string | null
      after: Pick<MultipartUpload, 'key' | 'createdAt' | 'id'> | null
      limit: number
    },
  ): Promise<MultipartUpload[]> {
    const { from, before, after, limit } = about
    let query = this.#db
      .selectFrom('multipartUploads')
      .selectAll()
      .where('bucketId', '=', bucketId)
      .where('key', '>=', from)
    if (before !== null) query = query.where('key', '<', before)
    if (after !== null) {
      query = query.where((eb) =>
        eb(eb.refTuple('key', 'createdAt', 'id'), '>', eb.tuple(after.key, after.createdAt, after.id)),
      )
    }
    return query.orderBy('key').orderBy('createdAt').orderBy('id').limit(limit).execute()
  }

  /** Puts the part in place of whatever has its number. Gives the names of contents that are replaced. In a transaction. */
  async putPart(row: MultipartPartsTable): Promise<string[]> {
    const replaced = await this.#db
      .deleteFrom('multipartParts')
      .where('uploadId', '=', row.uploadId)
      .where('partNumber', '=', row.partNumber)
      .returning('contentName')
      .execute()
    await this.#db.insertInto('multipartParts').values(row).execute()
    return namesOf(replaced)
  }

  /** At most `limit` parts with higher numbers than `afterNumber`, in order. */
  parts(uploadId: string, about: { afterNumber: number; limit: number }): Promise<MultipartPart[]> {
    return this.#db
      .selectFrom('multipartParts')
      .selectAll()
      .where('uploadId', '=', uploadId)
      .where('partNumber', '>', about.afterNumber)
      .orderBy('partNumber')
      .limit(about.limit)
      .execute()
  }

  /** Forgets the upload. Gives the names of its parts' contents. In a transaction. */
  async remove(id: string): Promise<string[]> {
    await this.#db.deleteFrom('multipartUploads').where('id', '=', id).execute()
    const parts = await this.#db
      .deleteFrom('multipartParts')
      .where('uploadId', '=', id)
      .returning('contentName')
      .execute()
    return namesOf(parts)
  }

  /** The uploads of a bucket, some of them at a time: a bucket that goes takes them along. */
  async idsOf(bucketId: string, limit: number): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('multipartUploads')
      .select('id')
      .where('bucketId', '=', bucketId)
      .limit(limit)
      .execute()
    return rows.map((row) => row.id)
  }
}

function namesOf(rows: readonly { contentName: string | null }[]): string[] {
  return rows.flatMap(({ contentName }) => (contentName === null ? [] : [contentName]))
}
