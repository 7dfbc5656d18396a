/**
 * An instance's metadata as a tree of texts, in EC2's categories and words.
 * Source: "Instance metadata categories" in the Amazon EC2 user guide.
 */
import { identityDocument, spacedJson, wholeSeconds } from './identity-document.ts'
import type { IdentitySignatures, ImdsInstance, ImdsNetwork } from './instance.ts'
import { profileData } from './instance-profile-data.ts'
import { directory, lookUp, type MetadataDirectory, type MetadataNode, withPlainNames } from './metadata-nodes.ts'
import { asOfVersion, metadataVersions } from './metadata-versions.ts'

/** Signs an identity document. */
export type SignDocument = (document: string) => Promise<IdentitySignatures>

/** What lies at a path of the service; undefined when nothing does. */
export function metadataAt(instance: ImdsInstance, sign: SignDocument, path: string): MetadataNode | undefined {
  const [version, ...rest] = path.split('/').filter((name) => name !== '')
  if (version === undefined) return metadataVersions.join('\n')
  if (!metadataVersions.includes(version)) return undefined
  return lookUp(withPlainNames(asOfVersion(version, latestTree(instance, sign))), rest)
}

function latestTree(instance: ImdsInstance, sign: SignDocument): MetadataDirectory {
  return directory({
    dynamic: dynamicData(instance, sign),
    'meta-data': metadata(instance),
    'user-data': instance.userData,
  })
}

/** The document's signatures cost some milliseconds, so they are made when they are read. */
function dynamicData(instance: ImdsInstance, sign: SignDocument): MetadataDirectory {
  const document = identityDocument(instance)
  const pkcs7 = async () => (await sign(document)).pkcs7
  return directory({
    fws: directory({ 'instance-monitoring': instance.monitoring }),
    // EC2 signs `pkcs7` with DSA and SHA-1, which today's OpenSSL may refuse: both are of the newer kind here.
    'instance-identity': directory({
      document,
      pkcs7,
      rsa2048: pkcs7,
      signature: async () => (await sign(document)).signature,
    }),
  })
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
    hibernation: directory({ configured: 'false' }),
    hostname: network.privateHostname,
    iam: instance.iam && profileData(instance.iam),
    'identity-credentials': directory({ ec2: directory({ info: accountInfo(instance) }) }),
    'instance-action': 'none',
    'instance-id': instance.instanceId,
    'instance-life-cycle': instance.lifeCycle,
    'instance-type': instance.instanceType,
    'local-hostname': network.privateHostname,
    'local-ipv4': network.privateIp,
    mac: network.mac,
    metrics: directory({ vhostmd: '<?xml version="1.0" encoding="UTF-8"?>' }),
    network: directory({
      interfaces: directory({
        macs: directory(
          Object.fromEntries(
            [network, ...instance.moreNetworks].map((one) => [one.mac, networkInterface(one, instance)]),
          ),
        ),
      }),
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
    system: instance.system,
    tags: Object.keys(tags).length > 0 ? directory({ instance: directory(tags) }) : null,
  })
}

/** Whose the instance is. EC2 keeps credentials of its own beside it; there are none here. */
function accountInfo({ accountId, launchedAtMs }: ImdsInstance): string {
  return spacedJson({ Code: 'Success', LastUpdated: wholeSeconds(launchedAtMs), AccountId: accountId })
}

function networkInterface(network: ImdsNetwork, { accountId }: ImdsInstance): MetadataDirectory {
  return directory({
    'device-number': String(network.deviceIndex),
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
