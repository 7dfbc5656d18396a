/** DHCP options and network ACLs of accounts' own: those that came with a VPC are rows like any other. */
import { type Kysely, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('dhcpOptions')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('isDefault', 'integer', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('dhcpOptionValues')
    .addColumn('dhcpOptionsId', 'text', (c) => c.notNull())
    .addColumn('key', 'text', (c) => c.notNull())
    .addColumn('ordinal', 'integer', (c) => c.notNull())
    .addColumn('value', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('dhcpOptionValuesKey', ['dhcpOptionsId', 'key', 'ordinal'])
    .execute()
  await db.schema
    .createTable('networkAcls')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('isDefault', 'integer', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('networkAclEntries')
    .addColumn('networkAclId', 'text', (c) => c.notNull())
    .addColumn('isEgress', 'integer', (c) => c.notNull())
    .addColumn('ruleNumber', 'integer', (c) => c.notNull())
    .addColumn('protocol', 'text', (c) => c.notNull())
    .addColumn('action', 'text', (c) => c.notNull())
    .addColumn('cidrIpv4', 'text')
    .addColumn('cidrIpv6', 'text')
    .addColumn('fromPort', 'integer')
    .addColumn('toPort', 'integer')
    .addColumn('icmpType', 'integer')
    .addColumn('icmpCode', 'integer')
    .addPrimaryKeyConstraint('networkAclEntriesKey', ['networkAclId', 'isEgress', 'ruleNumber'])
    .execute()
  await db.schema
    .createTable('networkAclAssociations')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('networkAclId', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('subnetId', 'text', (c) => c.notNull().unique())
    .execute()
  for (const table of ['dhcpOptions', 'networkAcls']) {
    await db.schema
      .createIndex(`${table}ByAccount`)
      .on(table)
      .columns(['accountId', 'region', 'createdAt', 'id'])
      .execute()
  }
  await db.schema.createIndex('networkAclsByVpc').on('networkAcls').columns(['vpcId']).execute()
  await db.schema.createIndex('networkAclAssociationsByVpc').on('networkAclAssociations').columns(['vpcId']).execute()
  await db.schema
    .createIndex('networkAclAssociationsByAcl')
    .on('networkAclAssociations')
    .columns(['networkAclId'])
    .execute()
  await db.schema.createIndex('vpcsByDhcpOptions').on('vpcs').columns(['dhcpOptionsId']).execute()
  await moveDefaults(db)
  await db.schema.alterTable('vpcs').dropColumn('networkAclId').execute()
}

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
async function moveDefaults(db: Kysely<any>): Promise<void> {
  await sql`insert into dhcp_options (id, account_id, region, is_default, created_at)
    select dhcp_options_id, account_id, region, 1, created_at from vpcs`.execute(db)
  await sql`insert into dhcp_option_values (dhcp_options_id, "key", ordinal, value)
    select dhcp_options_id, 'domain-name', 0,
      case when region = 'us-east-1' then 'ec2.internal' else region || '.compute.internal' end from vpcs`.execute(db)
  await sql`insert into dhcp_option_values (dhcp_options_id, "key", ordinal, value)
    select dhcp_options_id, 'domain-name-servers', 0, 'AmazonProvidedDNS' from vpcs`.execute(db)
  await sql`insert into network_acls (id, account_id, region, vpc_id, is_default, created_at)
    select network_acl_id, account_id, region, id, 1, created_at from vpcs`.execute(db)
  for (const isEgress of [0, 1]) {
    for (const [number, action] of [
      [100, 'allow'],
      [32_767, 'deny'],
    ] as const) {
      await sql`insert into network_acl_entries (network_acl_id, is_egress, rule_number, protocol, action, cidr_ipv4)
        select network_acl_id, ${sql.lit(isEgress)}, ${sql.lit(number)}, '-1', ${sql.lit(action)}, '0.0.0.0/0'
        from vpcs`.execute(db)
    }
  }
  await sql`insert into network_acl_associations (id, network_acl_id, vpc_id, subnet_id)
    select 'aclassoc-' || substr(subnets.id, 8), vpcs.network_acl_id, vpcs.id, subnets.id
    from subnets join vpcs on vpcs.id = subnets.vpc_id`.execute(db)
}
