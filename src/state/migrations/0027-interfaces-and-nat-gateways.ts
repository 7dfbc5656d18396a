/** Interfaces that no instance has, with what is said of each by itself, and NAT gateways. */
import { type Kysely, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('newNetworkInterfaces')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('zone', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('subnetId', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('mac', 'text', (c) => c.notNull())
    .addColumn('privateIp', 'text', (c) => c.notNull())
    .addColumn('publicIp', 'text')
    .addColumn('allocationId', 'text')
    .addColumn('associationId', 'text')
    .addColumn('sourceDestCheck', 'integer', (c) => c.notNull())
    .addColumn('instanceId', 'text')
    .addColumn('attachmentId', 'text')
    .addColumn('attachedAt', 'bigint')
    .addColumn('deleteOnTermination', 'integer', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await sql`insert into new_network_interfaces (id, account_id, region, zone, vpc_id, subnet_id, kind, description, mac,
      private_ip, public_ip, allocation_id, association_id, source_dest_check, instance_id, attachment_id, attached_at,
      delete_on_termination, created_at)
    select n.id, n.account_id, n.region, n.zone, n.vpc_id, n.subnet_id, 'interface', '', n.mac, n.private_ip,
      n.public_ip, n.allocation_id, n.association_id, coalesce(i.source_dest_check, 1), n.instance_id, n.attachment_id,
      n.created_at, n.delete_on_termination, n.created_at
    from network_interfaces n left join instances i on i.id = n.instance_id`.execute(db)
  await db.schema.dropTable('networkInterfaces').execute()
  await db.schema.alterTable('newNetworkInterfaces').renameTo('networkInterfaces').execute()
  const indexes = {
    ByAddress: ['subnetId', 'privateIp'],
    ByPublicIp: ['publicIp'],
    ByAttachment: ['attachmentId'],
    ByInstance: ['instanceId'],
    ByVpc: ['vpcId'],
    ByAccount: ['accountId', 'region', 'createdAt', 'id'],
  }
  for (const [name, columns] of Object.entries(indexes)) {
    const index = db.schema.createIndex(`networkInterfaces${name}`).on('networkInterfaces').columns(columns)
    await (name === 'ByAddress' || name === 'ByPublicIp' ? index.unique() : index).execute()
  }
  await db.schema.alterTable('instances').dropColumn('sourceDestCheck').execute()
  await db.schema
    .createTable('natGateways')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('subnetId', 'text', (c) => c.notNull())
    .addColumn('networkInterfaceId', 'text', (c) => c.notNull())
    .addColumn('allocationId', 'text', (c) => c.notNull())
    .addColumn('privateIp', 'text', (c) => c.notNull())
    .addColumn('publicIp', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('deletedAt', 'bigint')
    .execute()
  await db.schema
    .createIndex('natGatewaysByAccount')
    .on('natGateways')
    .columns(['accountId', 'region', 'createdAt', 'id'])
    .execute()
  await db.schema.createIndex('natGatewaysByVpc').on('natGateways').columns(['vpcId']).execute()
}
