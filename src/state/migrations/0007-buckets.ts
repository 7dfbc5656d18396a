/** Buckets, objects and multipart uploads. */
import { type ColumnDefinitionBuilder, type Kysely, PostgresAdapter, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  // Keys are listed in the order of their bytes. That is SQLite's own order; PostgreSQL has to be told.
  const isPostgres = db.getExecutor().adapter instanceof PostgresAdapter
  const byteOrdered = isPostgres ? sql`text collate "C"` : 'text'
  const required = (column: ColumnDefinitionBuilder) => column.notNull()
  const objectFacts = (table: string) =>
    db.schema
      .createTable(table)
      .addColumn('id', 'text', (c) => c.notNull().primaryKey())
      .addColumn('bucketId', 'text', required)
      .addColumn('key', byteOrdered, required)
      .addColumn('ownerId', 'text', required)
      .addColumn('acl', 'text', required)
      .addColumn('headers', 'text', required)
      .addColumn('metadata', 'text', required)

  await db.schema
    .createTable('buckets')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('name', byteOrdered, (c) => c.notNull().unique())
    .addColumn('accountId', 'text', required)
    .addColumn('region', 'text', required)
    .addColumn('acl', 'text', required)
    .addColumn('createdAt', 'bigint', required)
    .execute()
  await db.schema.createIndex('bucketsByAccount').on('buckets').columns(['accountId', 'name']).execute()
  await db.schema.createIndex('bucketsByRegion').on('buckets').columns(['region']).execute()

  await objectFacts('objects')
    .addColumn('etag', 'text', required)
    .addColumn('sizeBytes', 'bigint', required)
    .addColumn('checksum', 'text')
    .addColumn('partCount', 'integer')
    .addColumn('modifiedAt', 'bigint', required)
    .execute()
  await db.schema.createIndex('objectsByKey').unique().on('objects').columns(['bucketId', 'key']).execute()

  await db.schema
    .createTable('objectContents')
    .addColumn('objectId', 'text', required)
    .addColumn('seq', 'integer', required)
    .addColumn('contentName', 'text', required)
    .addColumn('sizeBytes', 'bigint', required)
    .addPrimaryKeyConstraint('objectContentsKey', ['objectId', 'seq'])
    .execute()
  await db.schema.createIndex('objectContentsByName').on('objectContents').columns(['contentName']).execute()

  await objectFacts('multipartUploads')
    .addColumn('checksum', 'text')
    .addColumn('createdAt', 'bigint', required)
    .execute()
  await db.schema
    .createIndex('multipartUploadsByKey')
    .on('multipartUploads')
    .columns(['bucketId', 'key', 'createdAt', 'id'])
    .execute()

  await db.schema
    .createTable('multipartParts')
    .addColumn('uploadId', 'text', required)
    .addColumn('partNumber', 'integer', required)
    .addColumn('contentName', 'text')
    .addColumn('etag', 'text', required)
    .addColumn('sizeBytes', 'bigint', required)
    .addColumn('checksum', 'text')
    .addColumn('modifiedAt', 'bigint', required)
    .addPrimaryKeyConstraint('multipartPartsKey', ['uploadId', 'partNumber'])
    .execute()
  await db.schema.createIndex('multipartPartsByName').on('multipartParts').columns(['contentName']).execute()
}
