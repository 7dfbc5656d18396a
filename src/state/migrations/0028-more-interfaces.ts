/** Several interfaces of one instance: where each is, and how far its coming or going is. */
import { type Kysely, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('networkInterfaces').addColumn('deviceIndex', 'integer').execute()
  await db.schema.alterTable('networkInterfaces').addColumn('attachmentState', 'text').execute()
  await sql`update network_interfaces set device_index = 0, attachment_state = 'attached'
    where instance_id is not null`.execute(db)
  await db.schema
    .createIndex('networkInterfacesByDevice')
    .on('networkInterfaces')
    .columns(['instanceId', 'deviceIndex'])
    .unique()
    .execute()
}
