/** Publishers' images that were pulled, by region. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('pulledImages')
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('imageName', 'text', (c) => c.notNull())
    .addColumn('imageId', 'text', (c) => c.notNull())
    .addColumn('catalogueName', 'text', (c) => c.notNull())
    .addColumn('version', 'text', (c) => c.notNull())
    .addColumn('sourceUrl', 'text', (c) => c.notNull())
    .addColumn('checksum', 'text', (c) => c.notNull())
    .addColumn('verifiedBy', 'text', (c) => c.notNull())
    .addColumn('fileBytes', 'bigint', (c) => c.notNull())
    .addColumn('pulledAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('pulledImagesKey', ['region', 'accountId', 'imageName'])
    .execute()
}
