/** What VPCs, subnets, security groups, rules and interfaces can be filtered by. Source: the Filters of their Describe operations. */
import { sql } from 'kysely'
import { eitherText, privateName, zoneId } from './derived-filters.ts'
import { absent, constants, type FilterRules, type Match } from './filters.ts'
import type { SecurityGroupRulesTable } from './schema/networks.ts'

export const vpcFilters: FilterRules = {
  ...absent(
    'ipv6-cidr-block-association.association-id',
    'ipv6-cidr-block-association.ipv6-cidr-block',
    'ipv6-cidr-block-association.ipv6-pool',
    'ipv6-cidr-block-association.state',
  ),
  'cidr-block-association.association-id': {
    text: (eb) => sql`'vpc-cidr-assoc-' || substr(${eb.ref('vpcs.id' as never)}, 5)`,
  },
  'cidr-block-association.state': { constant: 'associated' },
  tags: { tagsOf: 'vpcs.id' },
  cidr: { column: 'vpcs.cidr' },
  'cidr-block-association.cidr-block': { column: 'vpcs.cidr' },
  'dhcp-options-id': { column: 'vpcs.dhcpOptionsId' },
  'is-default': { number: 'vpcs.isDefault' },
  isDefault: { number: 'vpcs.isDefault' },
  'owner-id': { column: 'vpcs.accountId' },
  state: { constant: 'available' },
  'vpc-id': { column: 'vpcs.id' },
}

export const subnetFilters: FilterRules = {
  ...absent(
    'customer-owned-ipv4-pool',
    'enable-lni-at-device-index',
    'ipv6-cidr-block-association.association-id',
    'ipv6-cidr-block-association.ipv6-cidr-block',
    'ipv6-cidr-block-association.state',
    'outpost-arn',
  ),
  ...constants({
    'enable-dns64': 'false',
    'ipv6-native': 'false',
    'map-customer-owned-ip-on-launch': 'false',
    'private-dns-name-options-on-launch.enable-resource-name-dns-a-record': 'false',
    'private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record': 'false',
    'private-dns-name-options-on-launch.hostname-type': 'ip-name',
  }),
  'availability-zone-id': zoneId('subnets.zone'),
  availabilityZoneId: zoneId('subnets.zone'),
  'subnet-arn': {
    text: (eb) => {
      const of = (column: string) => eb.ref(`subnets.${column}` as never)
      return sql`'arn:aws:ec2:' || ${of('region')} || ':' || ${of('accountId')} || ':subnet/' || ${of('id')}`
    },
  },
  tags: { tagsOf: 'subnets.id' },
  'availability-zone': { column: 'subnets.zone' },
  availabilityZone: { column: 'subnets.zone' },
  cidr: { column: 'subnets.cidr' },
  cidrBlock: { column: 'subnets.cidr' },
  'cidr-block': { column: 'subnets.cidr' },
  'default-for-az': { number: 'subnets.isDefault' },
  defaultForAz: { number: 'subnets.isDefault' },
  'map-public-ip-on-launch': { number: 'subnets.mapPublicIp' },
  'owner-id': { column: 'subnets.accountId' },
  state: { constant: 'available' },
  'subnet-id': { column: 'subnets.id' },
  'vpc-id': { column: 'subnets.vpcId' },
}

const ofRule = (
  column: keyof SecurityGroupRulesTable,
  isEgress: 0 | 1,
  kind: Parameters<Match>[1] = 'text',
): FilterRules[string] => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('securityGroupRules as r')
        .select('r.id')
        .whereRef('r.groupId', '=', 'securityGroups.id')
        .where('r.isEgress', '=', isEgress)
        .where(match(`r.${column}`, kind)),
    ),
})

/** The group that a rule refers to. */
const ofPeerGroup = (column: 'name' | 'accountId', isEgress: 0 | 1): FilterRules[string] => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('securityGroupRules as r')
        .innerJoin('securityGroups as p', 'p.id', 'r.referencedGroupId')
        .select('r.id')
        .whereRef('r.groupId', '=', 'securityGroups.id')
        .where('r.isEgress', '=', isEgress)
        .where(match(`p.${column}`)),
    ),
})

export const securityGroupFilters: FilterRules = {
  tags: { tagsOf: 'securityGroups.id' },
  description: { column: 'securityGroups.description' },
  'group-id': { column: 'securityGroups.id' },
  'group-name': { column: 'securityGroups.name' },
  'owner-id': { column: 'securityGroups.accountId' },
  'vpc-id': { column: 'securityGroups.vpcId' },
  'ip-permission.cidr': ofRule('cidrIpv4', 0),
  'ip-permission.ipv6-cidr': ofRule('cidrIpv6', 0),
  'ip-permission.group-id': ofRule('referencedGroupId', 0),
  'ip-permission.prefix-list-id': ofRule('prefixListId', 0),
  'ip-permission.protocol': ofRule('protocol', 0),
  'ip-permission.from-port': ofRule('fromPort', 0, 'number'),
  'ip-permission.to-port': ofRule('toPort', 0, 'number'),
  'ip-permission.group-name': ofPeerGroup('name', 0),
  'ip-permission.user-id': ofPeerGroup('accountId', 0),
  'egress.ip-permission.cidr': ofRule('cidrIpv4', 1),
  'egress.ip-permission.ipv6-cidr': ofRule('cidrIpv6', 1),
  'egress.ip-permission.group-id': ofRule('referencedGroupId', 1),
  'egress.ip-permission.prefix-list-id': ofRule('prefixListId', 1),
  'egress.ip-permission.protocol': ofRule('protocol', 1),
  'egress.ip-permission.from-port': ofRule('fromPort', 1, 'number'),
  'egress.ip-permission.to-port': ofRule('toPort', 1, 'number'),
  'egress.ip-permission.group-name': ofPeerGroup('name', 1),
  'egress.ip-permission.user-id': ofPeerGroup('accountId', 1),
}

export const securityGroupRuleFilters: FilterRules = {
  tags: { tagsOf: 'securityGroupRules.id' },
  'group-id': { column: 'securityGroupRules.groupId' },
  'security-group-rule-id': { column: 'securityGroupRules.id' },
}

/** Whose a public address is; an interface without one has no owner to tell. */
const ofAssociation: FilterRules[string] = {
  text: (eb) => {
    const of = (column: string) => eb.ref(`networkInterfaces.${column}` as never)
    return sql`case when ${of('allocationId')} is not null then ${of('accountId')}
      when ${of('publicIp')} is null then null else 'amazon' end`
  },
}

/** What is told of an interface that an instance has. */
const ofAttachment = (what: string): FilterRules[string] => ({
  text: () => sql`case when network_interfaces.instance_id is null then null else ${sql.raw(what)} end`,
})

export const networkInterfaceFilters: FilterRules = {
  ...absent('association.public-dns-name', 'ipv6-addresses.ipv6-address', 'operator.principal', 'requester-id'),
  ...constants({
    'addresses.primary': 'true',
    'operator.managed': 'false',
  }),
  'addresses.association.owner-id': ofAssociation,
  'addresses.association.public-ip': { column: 'networkInterfaces.publicIp' },
  'association.allocation-id': { column: 'networkInterfaces.allocationId' },
  'association.association-id': { column: 'networkInterfaces.associationId' },
  'association.ip-owner-id': ofAssociation,
  'attachment.attach-time': { time: 'networkInterfaces.attachedAt' },
  'attachment.delete-on-termination': ofAttachment("case when delete_on_termination = 1 then 'true' else 'false' end"),
  'attachment.device-index': { number: 'networkInterfaces.deviceIndex' },
  'attachment.instance-owner-id': ofAttachment('account_id'),
  'attachment.status': { column: 'networkInterfaces.attachmentState' },
  description: { column: 'networkInterfaces.description' },
  'interface-type': { column: 'networkInterfaces.kind' },
  'requester-managed': eitherText('networkInterfaces.kind', 'interface', 'false', 'true'),
  'availability-zone-id': zoneId('networkInterfaces.zone'),
  'private-dns-name': { text: (eb) => privateName(eb, 'networkInterfaces.privateIp', 'networkInterfaces.region') },
  'source-dest-check': { number: 'networkInterfaces.sourceDestCheck' },
  tags: { tagsOf: 'networkInterfaces.id' },
  'network-interface-id': { column: 'networkInterfaces.id' },
  'attachment.instance-id': { column: 'networkInterfaces.instanceId' },
  'attachment.attachment-id': { column: 'networkInterfaces.attachmentId' },
  'availability-zone': { column: 'networkInterfaces.zone' },
  'mac-address': { column: 'networkInterfaces.mac' },
  'owner-id': { column: 'networkInterfaces.accountId' },
  'private-ip-address': { column: 'networkInterfaces.privateIp' },
  'addresses.private-ip-address': { column: 'networkInterfaces.privateIp' },
  'association.public-ip': { column: 'networkInterfaces.publicIp' },
  status: {
    text: () =>
      sql`case when network_interfaces.instance_id is null and network_interfaces.kind = 'interface' then 'available'
        else 'in-use' end`,
  },
  'subnet-id': { column: 'networkInterfaces.subnetId' },
  'vpc-id': { column: 'networkInterfaces.vpcId' },
  'group-id': {
    exists: (eb, match) =>
      eb.exists(
        eb
          .selectFrom('networkInterfaceGroups as g')
          .select('g.groupId')
          .whereRef('g.networkInterfaceId', '=', 'networkInterfaces.id')
          .where(match('g.groupId')),
      ),
  },
}
