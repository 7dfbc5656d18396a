/**
 * An instance's metadata as a tree of texts, in EC2's categories and words.
 * Source: "Instance metadata categories" in the Amazon EC2 user guide.
 */
import type { ImdsInstance } from './instance.ts'

/** A text, or named children in the order in which a listing shows them. */
export type MetadataNode = string | Buffer | MetadataDirectory
export interface MetadataDirectory {
  children: ReadonlyMap<string, MetadataNode>
  /** What a listing shows for a child, where it is not the name (with a slash, for a directory). */
  label?: (name: string) => string
}

/** Every version that EC2 has published; Kiln answers all with the same tree. */
export const metadataVersions: readonly string[] = [
  '1.0',
  '2007-01-19',
  '2007-03-01',
  '2007-08-29',
  '2007-10-10',
  '2007-12-15',
  '2008-02-01',
  '2008-09-01',
  '2009-04-04',
  '2011-01-01',
  '2011-05-01',
  '2012-01-12',
  '2014-02-25',
  '2014-11-05',
  '2015-10-20',
  '2016-04-19',
  '2016-06-30',
  '2016-09-02',
  '2018-03-28',
  '2018-08-17',
  '2018-09-24',
  '2019-10-01',
  '2020-10-27',
  '2021-01-03',
  '2021-03-23',
  '2021-07-15',
  '2022-09-24',
  '2024-04-11',
  'latest',
]

/** The whole service of one instance: versions at the root. */
export function serviceTree(instance: ImdsInstance): MetadataDirectory {
  const version = directory({
    dynamic: directory({ 'instance-identity': directory({ document: identityDocument(instance) }) }),
    'meta-data': metadata(instance),
    'user-data': instance.userData,
  })
  return withPlainNames({ children: new Map(metadataVersions.map((name) => [name, withPlainNames(version)])) })
}

/** The two upper levels list directories without a slash. */
function withPlainNames(node: MetadataDirectory): MetadataDirectory {
  return { ...node, label: (name) => name }
}

/** Follows a path from a directory; undefined when nothing is there. A slash at the end changes nothing. */
export function lookUp(root: MetadataDirectory, path: string): MetadataNode | undefined {
  let node: MetadataNode | undefined = root
  for (const name of path.split('/').filter((part) => part !== '')) {
    if (node === undefined || !isDirectory(node)) return undefined
    node = node.children.get(name)
  }
  return node
}

/** What a client sees of a node: a text as it is; a directory as names, one a line, directories with a slash. */
export function render(node: MetadataNode): string | Buffer {
  if (!isDirectory(node)) return node
  const { label } = node
  const line = (name: string, child: MetadataNode) => label?.(name) ?? (isDirectory(child) ? `${name}/` : name)
  return [...node.children].map(([name, child]) => line(name, child)).join('\n')
}

export function isDirectory(node: MetadataNode): node is MetadataDirectory {
  return typeof node === 'object' && 'children' in node
}

function metadata(instance: ImdsInstance): MetadataDirectory {
  const { network, key, options } = instance
  const tags = options.instanceMetadataTags === 'enabled' ? instance.tags : {}
  return directory({
    'ami-id': instance.imageId,
    'ami-launch-index': String(instance.launchIndex),
    'ami-manifest-path': instance.imageManifestPath ?? '(unknown)',
    'block-device-mapping': directory(blockDevices(instance)),
    events: directory({ maintenance: directory({ history: '[]', scheduled: '[]' }) }),
    hostname: network.privateHostname,
    'instance-action': 'none',
    'instance-id': instance.instanceId,
    'instance-life-cycle': 'on-demand',
    'instance-type': instance.instanceType,
    'local-hostname': network.privateHostname,
    'local-ipv4': network.privateIp,
    mac: network.mac,
    metrics: directory({ vhostmd: '<?xml version="1.0" encoding="UTF-8"?>' }),
    network: directory({
      interfaces: directory({ macs: directory({ [network.mac]: networkInterface(instance) }) }),
    }),
    placement: directory({
      'availability-zone': instance.availabilityZone,
      'availability-zone-id': instance.availabilityZoneId,
      region: instance.region,
    }),
    profile: 'default-hvm',
    'public-hostname': network.publicHostname,
    'public-ipv4': network.publicIp,
    'public-keys': key && {
      children: new Map([['0', directory({ 'openssh-key': key.openSshPublicKey.trimEnd() })]]),
      label: (index: string) => `${index}=${key.name}`,
    },
    'reservation-id': instance.reservationId,
    'security-groups': network.securityGroups.map((group) => group.name).join('\n'),
    services: directory({ domain: 'amazonaws.com', partition: 'aws' }),
    system: 'nitro',
    tags: Object.keys(tags).length > 0 ? directory({ instance: directory(tags) }) : null,
  })
}

function networkInterface({ network, accountId }: ImdsInstance): MetadataDirectory {
  return directory({
    'device-number': '0',
    'interface-id': network.interfaceId,
    'ipv4-associations': network.publicIp === null ? null : directory({ [network.publicIp]: network.privateIp }),
    'local-hostname': network.privateHostname,
    'local-ipv4s': network.privateIp,
    mac: network.mac,
    'owner-id': accountId,
    'public-hostname': network.publicHostname,
    'public-ipv4s': network.publicIp,
    'security-group-ids': network.securityGroups.map((group) => group.id).join('\n'),
    'security-groups': network.securityGroups.map((group) => group.name).join('\n'),
    'subnet-id': network.subnetId,
    'subnet-ipv4-cidr-block': network.subnetCidr,
    'vpc-id': network.vpcId,
    'vpc-ipv4-cidr-block': network.vpcCidr,
    'vpc-ipv4-cidr-blocks': network.vpcCidr,
  })
}

/** `ami` and `root` both name the root device, `ebsN` and `ephemeralN` the others in the order of the mapping. */
function blockDevices({ blockDevices: devices }: ImdsInstance): Record<string, string | null> {
  const named = (kind: 'ebs' | 'ephemeral', first: number) =>
    devices
      .filter((device) => device.kind === kind)
      .map((device, index) => [`${kind}${first + index}`, device.deviceName.replace(/^\/dev\//, '')] as const)
  const root = devices.find((device) => device.kind === 'root')
  return {
    ami: root?.deviceName ?? null,
    ...Object.fromEntries(named('ebs', 1)),
    ...Object.fromEntries(named('ephemeral', 0)),
    root: root?.deviceName ?? null,
  }
}

/** Source: "Instance identity documents" in the Amazon EC2 user guide. */
function identityDocument(instance: ImdsInstance): string {
  return JSON.stringify(
    {
      accountId: instance.accountId,
      architecture: instance.architecture,
      availabilityZone: instance.availabilityZone,
      billingProducts: null,
      devpayProductCodes: null,
      marketplaceProductCodes: null,
      imageId: instance.imageId,
      instanceId: instance.instanceId,
      instanceType: instance.instanceType,
      kernelId: null,
      pendingTime: new Date(instance.launchedAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      privateIp: instance.network.privateIp,
      ramdiskId: null,
      region: instance.region,
      version: '2017-09-30',
    },
    null,
    2,
  )
}

/** A directory of what is there: null stands for what this instance does not have. */
function directory(children: Readonly<Record<string, MetadataNode | null>>): MetadataDirectory {
  return {
    children: new Map(Object.entries(children).filter((entry): entry is [string, MetadataNode] => entry[1] !== null)),
  }
}
