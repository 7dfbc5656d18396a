/** The cloud's instances as the metadata service tells them. */
import type { Cloud } from '../../cloud/cloud.ts'
import type { GuestMetadata } from '../../cloud/instances/guest-metadata.ts'
import { instanceTypes } from '../../cloud/instances/instance-types.ts'
import { privateDnsName } from '../../cloud/network/addresses.ts'
import { zoneIdOf } from '../../lib/regions.ts'
import type { ImdsBlockDevice, ImdsIdentity, ImdsInstance, ImdsNetwork, ImdsSource } from './instance.ts'

export function imdsSource(cloud: Pick<Cloud, 'guestMetadataAt' | 'identity' | 'identitySignatures'>): ImdsSource {
  return {
    async instanceAt(vpcId, privateIp) {
      const guest = await cloud.guestMetadataAt(vpcId, privateIp)
      return guest && imdsInstance(guest, await cloud.identity.instanceCredentials.of(guest.instance.id))
    },
    signaturesOf: (document) => cloud.identitySignatures.of(document),
  }
}

function imdsInstance(guest: GuestMetadata, iam: ImdsIdentity | null): ImdsInstance {
  const { instance, publicKey, tags } = guest
  const [primary, ...moreNetworks] = instance.interfaces.map((nic) => networkOf(nic, guest))
  return {
    instanceId: instance.id,
    imageId: instance.imageId,
    imageManifestPath: guest.imageLocation,
    instanceType: instance.instanceType,
    architecture: instance.architecture === 'arm64' ? 'arm64' : 'x86_64',
    accountId: instance.accountId,
    region: instance.region,
    availabilityZone: instance.zone,
    availabilityZoneId: zoneIdOf(instance.zone),
    reservationId: instance.reservationId,
    launchIndex: instance.launchIndex,
    monitoring: instance.monitoring === 1 ? 'enabled' : 'disabled',
    lifeCycle: instance.spotRequestId === null ? 'on-demand' : 'spot',
    system: instanceTypes.get(instance.instanceType)?.hypervisor ?? 'nitro',
    launchedAtMs: instance.launchedAt,
    network: primary!,
    moreNetworks,
    key: instance.keyName && publicKey ? { name: instance.keyName, openSshPublicKey: publicKey } : null,
    iam,
    userData: instance.userData === null ? null : Buffer.from(instance.userData, 'base64'),
    blockDevices: blockDevices(guest),
    options: {
      httpEndpoint: instance.httpEndpoint,
      httpTokens: instance.httpTokens,
      instanceMetadataTags: instance.instanceMetadataTags,
    },
    tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
  }
}

function networkOf(nic: GuestMetadata['instance']['interfaces'][number], { vpc, subnets }: GuestMetadata): ImdsNetwork {
  return {
    deviceIndex: nic.deviceIndex!,
    interfaceId: nic.id,
    mac: nic.mac,
    privateIp: nic.privateIp,
    privateHostname: privateDnsName(nic.privateIp, nic.region),
    publicIp: nic.publicIp,
    publicHostname: null,
    subnetId: nic.subnetId,
    subnetCidr: subnets.find((subnet) => subnet.id === nic.subnetId)!.cidr,
    vpcId: vpc.id,
    vpcCidr: vpc.cidr,
    securityGroups: nic.groups.map(({ id, name }) => ({ id, name })),
  }
}

function blockDevices({ instance, instanceDisks }: GuestMetadata): ImdsBlockDevice[] {
  const ephemeral = instanceDisks.filter(({ slot }) => slot !== 0)
  ephemeral.sort((a, b) => a.virtualName.localeCompare(b.virtualName, 'en', { numeric: true }))
  return [
    ...instanceDisks.filter(({ slot }) => slot === 0).map(({ deviceName }) => ({ deviceName, kind: 'root' }) as const),
    ...instance.attachments.map(
      ({ deviceName }): ImdsBlockDevice => ({
        deviceName,
        kind: deviceName === instance.rootDeviceName ? 'root' : 'ebs',
      }),
    ),
    ...ephemeral.map(({ deviceName }): ImdsBlockDevice => ({ deviceName, kind: 'ephemeral' })),
  ]
}
