/** An instance as the contents of a launch template that launches another like it. */
import type { LaunchTemplateBlockDeviceMapping, ResponseLaunchTemplateData } from '@aws-sdk/client-ec2'
import { creditsOf, isBurstable } from '../../../cloud/instances/cpu-credits.ts'
import type { InstanceView } from '../../../cloud/instances/instance-views.ts'
import type { Tag } from '../../../cloud/tags.ts'
import type { VolumeView } from '../../../cloud/volumes/volumes.ts'
import { ec2Tags } from './views.ts'

/**
 * What belongs to this one instance is left out, so that a template of it can be launched: its interface's id and
 * address, its token, and the tags of the cloud. EC2 gives the former, and its guide tells to take them out again.
 */
export function instanceTemplateData(
  view: InstanceView,
  volumes: ReadonlyMap<string, VolumeView>,
  tags: ReadonlyMap<string, readonly Tag[]>,
): ResponseLaunchTemplateData {
  const own = (tags.get(view.id) ?? []).filter((tag) => !tag.key.startsWith('aws:'))
  return {
    ImageId: view.imageId,
    InstanceType: view.instanceType as ResponseLaunchTemplateData['InstanceType'],
    KeyName: view.keyName ?? undefined,
    IamInstanceProfile: view.profile ? { Arn: view.profile.profileArn } : undefined,
    UserData: view.userData ?? undefined,
    EbsOptimized: view.ebsOptimized === 1,
    Monitoring: { Enabled: view.monitoring === 1 },
    Placement: { AvailabilityZone: view.zone, GroupName: '', Tenancy: 'default' },
    DisableApiTermination: view.disableApiTermination === 1,
    DisableApiStop: view.disableApiStop === 1,
    InstanceInitiatedShutdownBehavior: view.shutdownBehavior,
    BlockDeviceMappings: view.attachments.map((attachment) => ({
      DeviceName: attachment.deviceName,
      Ebs: ec2Ebs(volumes.get(attachment.volumeId), attachment.deleteOnTermination === 1),
    })),
    NetworkInterfaces: view.interfaces.map((nic) => ({
      DeviceIndex: nic.deviceIndex!,
      SubnetId: nic.subnetId,
      Groups: nic.groups.map((group) => group.id),
      // Taken of an instance with one interface only.
      AssociatePublicIpAddress: view.interfaces.length === 1 ? nic.publicIp !== null : undefined,
      DeleteOnTermination: nic.deleteOnTermination === 1,
    })),
    MetadataOptions: {
      HttpTokens: view.httpTokens,
      HttpEndpoint: view.httpEndpoint,
      HttpPutResponseHopLimit: view.httpPutResponseHopLimit,
      InstanceMetadataTags: view.instanceMetadataTags,
    },
    CreditSpecification: isBurstable(view.instanceType) ? { CpuCredits: creditsOf(view) } : undefined,
    TagSpecifications: own.length > 0 ? [{ ResourceType: 'instance', Tags: ec2Tags(own) }] : undefined,
  }
}

function ec2Ebs(volume: VolumeView | undefined, deleteOnTermination: boolean): LaunchTemplateBlockDeviceMapping['Ebs'] {
  if (!volume) return { DeleteOnTermination: deleteOnTermination }
  return {
    DeleteOnTermination: deleteOnTermination,
    SnapshotId: volume.snapshotId ?? undefined,
    VolumeSize: volume.sizeGib,
    VolumeType: volume.volumeType as 'gp3',
    Iops: hasChosenIops(volume.volumeType) ? (volume.iops ?? undefined) : undefined,
    Throughput: volume.volumeType === 'gp3' ? (volume.throughput ?? undefined) : undefined,
    Encrypted: volume.encrypted === 1 ? true : undefined,
  }
}

/** Of the other types they follow from the size, and a launch refuses them. */
const hasChosenIops = (type: string) => type === 'gp3' || type === 'io1' || type === 'io2'
