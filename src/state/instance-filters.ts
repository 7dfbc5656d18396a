/** What DescribeInstances and DescribeInstanceStatus can be filtered by. Source: their Filters in the EC2 API reference. */
import { sql } from 'kysely'
import { eitherText, privateName, zoneId } from './derived-filters.ts'
import { absent, type Builder, constants, type FilterRule, type FilterRules, type Match } from './filters.ts'
import type { InstanceProfileAssociationsTable } from './schema/identities.ts'
import type { NetworkInterfacesTable } from './schema/networks.ts'
import type { InstanceState, VolumeAttachmentsTable } from './schema.ts'

/** EC2's numbers for the states. */
export const stateCodes: Readonly<Record<InstanceState, number>> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
}

type Kind = Parameters<Match>[1]

const ofInterface = (column: keyof NetworkInterfacesTable, kind: Kind = 'text'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .select('n.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where(match(`n.${column}`, kind)),
    ),
})

const ofGroup = (column: 'id' | 'name'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .innerJoin('networkInterfaceGroups as ng', 'ng.networkInterfaceId', 'n.id')
        .innerJoin('securityGroups as g', 'g.id', 'ng.groupId')
        .select('g.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where(match(`g.${column}`)),
    ),
})

const ofVolume = (column: keyof VolumeAttachmentsTable, kind: Kind = 'text'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('volumeAttachments as a')
        .select('a.volumeId')
        .whereRef('a.instanceId', '=', 'instances.id')
        .where(match(`a.${column}`, kind)),
    ),
})

const stateCode = (eb: Builder) =>
  Object.entries(stateCodes)
    .reduce(
      (cases, [state, code]) => cases.when('instances.state' as never, '=', state as never).then(String(code)),
      eb
        .case()
        .when('instances.state' as never, '=', '' as never)
        .then(''),
    )
    .else('')
    .end()

/** Tags of the instance's interface. */
const ofInterfaceTag = (column: 'key' | 'value'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .innerJoin('tags as nt', 'nt.resourceId', 'n.id')
        .select('n.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .whereRef('nt.accountId', '=', 'n.accountId')
        .where(match(`nt.${column}`)),
    ),
})

const ofPrivateName: FilterRule = {
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .select('n.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where(match(privateName(eb, 'n.privateIp', 'n.region'))),
    ),
}

const ofAssociation: FilterRule = {
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .select('n.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where('n.publicIp', 'is not', null)
        .where(match(sql`case when n.allocation_id is not null then n.account_id else 'amazon' end`)),
    ),
}

const ofProfile = (column: keyof InstanceProfileAssociationsTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('instanceProfileAssociations as p')
        .select('p.id')
        .whereRef('p.instanceId', '=', 'instances.id')
        .where(match(`p.${column}`)),
    ),
})

/** What every interface of an instance says. */
const interfaceConstants = constants({
  'network-interface.addresses.primary': 'true',
  'network-interface.attachment.device-index': '0',
  'network-interface.attachment.network-card-index': '0',
  'network-interface.attachment.status': 'attached',
  'network-interface.deny-all-igw-traffic': 'false',
  'network-interface.description': '',
  'network-interface.ipv6-native': 'false',
  'network-interface.operator.managed': 'false',
  'network-interface.requester-managed': 'false',
  'network-interface.status': 'in-use',
})

const interfaceFilters: FilterRules = {
  ...interfaceConstants,
  'network-interface.addresses.association.ip-owner-id': ofAssociation,
  'network-interface.addresses.association.public-ip': ofInterface('publicIp'),
  'network-interface.addresses.private-dns-name': ofPrivateName,
  'network-interface.addresses.private-ip-address': ofInterface('privateIp'),
  'network-interface.association.ip-owner-id': ofAssociation,
  'network-interface.association.public-ip': ofInterface('publicIp'),
  'network-interface.attachment.attach-time': ofInterface('attachedAt', 'time'),
  'network-interface.attachment.attachment-id': ofInterface('attachmentId'),
  'network-interface.attachment.delete-on-termination': ofInterface('deleteOnTermination', 'number'),
  'network-interface.attachment.instance-id': ofInterface('instanceId'),
  'network-interface.attachment.instance-owner-id': ofInterface('accountId'),
  'network-interface.availability-zone': ofInterface('zone'),
  'network-interface.group-id': ofGroup('id'),
  'network-interface.group-name': ofGroup('name'),
  'network-interface.mac-address': ofInterface('mac'),
  'network-interface.network-interface-id': ofInterface('id'),
  'network-interface.owner-id': ofInterface('accountId'),
  'network-interface.private-dns-name': ofPrivateName,
  'network-interface.private-ip-address': ofInterface('privateIp'),
  'network-interface.source-dest-check': ofInterface('sourceDestCheck', 'number'),
  'network-interface.subnet-id': ofInterface('subnetId'),
  'network-interface.tag-key': ofInterfaceTag('key'),
  'network-interface.tag-value': ofInterfaceTag('value'),
  'network-interface.vpc-id': ofInterface('vpcId'),
}

/** Nothing of this is told of an interface here. */
const absentOfInterfaces = absent(
  ...['addresses.association', 'association'].flatMap((where) =>
    ['allocation-id', 'association-id', 'carrier-ip', 'customer-owned-ip', 'public-dns-name'].map(
      (name) => `network-interface.${where}.${name}`,
    ),
  ),
  'network-interface.ipv4-prefixes.ipv4-prefix',
  'network-interface.ipv6-address',
  'network-interface.ipv6-addresses.ipv6-address',
  'network-interface.ipv6-addresses.is-primary-ipv6',
  'network-interface.ipv6-prefixes.ipv6-prefix',
  'network-interface.operator.principal',
  'network-interface.outpost-arn',
  'network-interface.public-dns-name',
  'network-interface.requester-id',
)

const absentOfInstances = absent(
  'affinity',
  'capacity-reservation-id',
  'capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id',
  'capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn',
  'host-id',
  'ipv6-address',
  'kernel-id',
  'operator.principal',
  'outpost-arn',
  'placement-group-name',
  'placement-partition-number',
  'platform',
  'product-code',
  'product-code.type',
  'ramdisk-id',
  'requester-id',
  'tpm-support',
)

const instanceConstants = constants({
  'capacity-reservation-specification.capacity-reservation-preference': 'open',
  'current-instance-boot-mode': 'legacy-bios',
  'enclave-options.enabled': 'false',
  'hibernation-options.configured': 'false',
  hypervisor: 'xen',
  'maintenance-options.auto-recovery': 'default',
  'metadata-options.http-protocol-ipv4': 'enabled',
  'metadata-options.http-protocol-ipv6': 'disabled',
  'network-performance-options.bandwidth-weighting': 'default',
  'operator.managed': 'false',
  'private-dns-name-options.enable-resource-name-dns-a-record': 'false',
  'private-dns-name-options.enable-resource-name-dns-aaaa-record': 'false',
  'private-dns-name-options.hostname-type': 'ip-name',
  tenancy: 'default',
  'usage-operation': 'RunInstances',
})

export const instanceFilters: FilterRules = {
  ...absentOfInstances,
  ...absentOfInterfaces,
  ...instanceConstants,
  ...interfaceFilters,
  tags: { tagsOf: 'instances.id' },
  architecture: { column: 'instances.architecture' },
  'availability-zone': { column: 'instances.zone' },
  'availability-zone-id': zoneId('instances.zone'),
  'block-device-mapping.attach-time': ofVolume('attachedAt', 'time'),
  'block-device-mapping.delete-on-termination': ofVolume('deleteOnTermination', 'number'),
  'block-device-mapping.device-name': ofVolume('deviceName'),
  'block-device-mapping.status': ofVolume('state'),
  'block-device-mapping.volume-id': ofVolume('volumeId'),
  'boot-mode': { column: 'instances.bootMode' },
  'client-token': { column: 'instances.clientToken' },
  'dns-name': ofInterface('publicIp'),
  'ebs-optimized': { number: 'instances.ebsOptimized' },
  'iam-instance-profile.arn': ofProfile('profileArn'),
  'iam-instance-profile.id': ofProfile('profileId'),
  'iam-instance-profile.name': ofProfile('profileName'),
  'ena-support': { number: 'instances.enaSupport' },
  'group-id': ofGroup('id'),
  'group-name': ofGroup('name'),
  'image-id': { column: 'instances.imageId' },
  'instance-id': { column: 'instances.id' },
  // On-demand instances have no such word.
  'instance-lifecycle': { text: () => sql`case when instances.spot_request_id is null then null else 'spot' end` },
  'instance-state-code': { text: stateCode },
  'instance-state-name': { column: 'instances.state' },
  'instance-type': { column: 'instances.instanceType' },
  'instance.group-id': ofGroup('id'),
  'instance.group-name': ofGroup('name'),
  'ip-address': ofInterface('publicIp'),
  'key-name': { column: 'instances.keyName' },
  'launch-index': { number: 'instances.launchIndex' },
  'launch-time': { time: 'instances.launchedAt' },
  'metadata-options.http-endpoint': { column: 'instances.httpEndpoint' },
  'metadata-options.http-put-response-hop-limit': { number: 'instances.httpPutResponseHopLimit' },
  'metadata-options.state': eitherText('instances.state', 'pending', 'pending', 'applied'),
  'monitoring-state': eitherText('instances.monitoring', 1, 'enabled', 'disabled'),
  'metadata-options.http-tokens': { column: 'instances.httpTokens' },
  'metadata-options.instance-metadata-tags': { column: 'instances.instanceMetadataTags' },
  'owner-id': { column: 'instances.accountId' },
  'platform-details': { column: 'instances.platformDetails' },
  'private-dns-name': ofPrivateName,
  'private-ip-address': ofInterface('privateIp'),
  reason: { column: 'instances.stateTransitionReason' },
  'reservation-id': { column: 'instances.reservationId' },
  'root-device-name': { column: 'instances.rootDeviceName' },
  'root-device-type': { column: 'instances.rootDeviceType' },
  'source-dest-check': ofInterface('sourceDestCheck', 'number'),
  'spot-instance-request-id': { column: 'instances.spotRequestId' },
  'state-reason-code': { column: 'instances.stateReasonCode' },
  'state-reason-message': { column: 'instances.stateReasonMessage' },
  'subnet-id': { column: 'instances.subnetId' },
  'usage-operation-update-time': { time: 'instances.createdAt' },
  'virtualization-type': { column: 'instances.virtualizationType' },
  'vpc-id': { column: 'instances.vpcId' },
}

const passed: FilterRule = { column: 'instances.reachability' }

/** The filters of DescribeInstanceStatus. */
export const statusFilters: FilterRules = {
  ...absent(
    'application-status.status',
    'event.code',
    'event.description',
    'event.instance-event-id',
    'event.not-after',
    'event.not-before',
    'event.not-before-deadline',
    'operator.principal',
  ),
  'attached-ebs-status.status': { constant: 'ok' },
  'availability-zone': { column: 'instances.zone' },
  'availability-zone-id': zoneId('instances.zone'),
  'operator.managed': { constant: 'false' },
  'instance-state-code': instanceFilters['instance-state-code']!,
  'instance-state-name': { column: 'instances.state' },
  'instance-status.reachability': passed,
  'instance-status.status': {
    text: (eb) =>
      eb
        .case()
        .when('instances.reachability' as never, '=', 'passed' as never)
        .then('ok')
        .when('instances.reachability' as never, '=', 'failed' as never)
        .then('impaired')
        .else(eb.ref('instances.reachability' as never))
        .end(),
  },
  'system-status.reachability': passed,
  'system-status.status': { constant: 'ok' },
}
