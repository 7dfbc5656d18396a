/** Instances as EC2 tells them. */
import type {
  GroupIdentifier,
  Instance,
  InstanceBlockDeviceMapping,
  InstanceNetworkInterface,
  InstanceState,
  Reservation,
} from '@aws-sdk/client-ec2'
import { stateCodes } from '../../../cloud/instances/instance-states.ts'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import type { InstanceView, InterfaceView } from '../../../cloud/instances/instance-views.ts'
import { privateDnsName } from '../../../cloud/network/addresses.ts'
import type { Tag } from '../../../cloud/tags.ts'
import { ec2Tags, ec2Time } from './views.ts'
import { publicAssociation } from './vpc-shapes.ts'

type Tags = ReadonlyMap<string, readonly Tag[]>

export const ec2State = (state: InstanceView['state']): InstanceState => ({ Name: state, Code: stateCodes[state] })

const ec2Groups = (nic: InterfaceView): GroupIdentifier[] =>
  nic.groups.map((group) => ({ GroupId: group.id, GroupName: group.name }))

/** Instances of one launch stand together, in the order of their launch. */
export function ec2Reservations(items: readonly [InstanceView, Instance][]): Reservation[] {
  const reservations = new Map<string, Reservation>()
  for (const [view, instance] of items) {
    const reservation = reservations.get(view.reservationId) ?? {
      ReservationId: view.reservationId,
      OwnerId: view.accountId,
      Groups: [],
      Instances: [],
    }
    reservation.Instances!.push(instance)
    reservations.set(view.reservationId, reservation)
  }
  for (const { Instances: instances } of reservations.values()) {
    instances!.sort((a, b) => a.AmiLaunchIndex! - b.AmiLaunchIndex!)
  }
  return [...reservations.values()]
}

export function ec2Instance(view: InstanceView, tags: Tags): Instance {
  const [nic] = view.interfaces
  const type = instanceTypes.get(view.instanceType)
  return {
    InstanceId: view.id,
    ImageId: view.imageId,
    InstanceType: view.instanceType as Instance['InstanceType'],
    AmiLaunchIndex: view.launchIndex,
    State: ec2State(view.state),
    StateReason: view.stateReasonCode
      ? { Code: view.stateReasonCode, Message: view.stateReasonMessage ?? undefined }
      : undefined,
    StateTransitionReason: view.stateTransitionReason,
    LaunchTime: new Date(view.launchedAt),
    UsageOperationUpdateTime: new Date(view.createdAt),
    UsageOperation: 'RunInstances',
    KeyName: view.keyName ?? undefined,
    IamInstanceProfile: view.profile ? { Arn: view.profile.profileArn, Id: view.profile.profileId } : undefined,
    ProductCodes: [],
    Placement: { AvailabilityZone: view.zone, GroupName: '', Tenancy: 'default' },
    PrivateIpAddress: nic?.privateIp,
    PrivateDnsName: nic ? privateDnsName(nic.privateIp, view.region) : '',
    PublicIpAddress: nic?.publicIp ?? undefined,
    // Public addresses are loopback addresses: no name would resolve to them.
    PublicDnsName: '',
    VpcId: nic ? view.vpcId : undefined,
    SubnetId: nic ? view.subnetId : undefined,
    SecurityGroups: nic ? ec2Groups(nic) : [],
    NetworkInterfaces: view.interfaces.map((row) => ec2Interface(row, view)),
    SourceDestCheck: nic ? nic.sourceDestCheck === 1 : undefined,
    Architecture: view.architecture as Instance['Architecture'],
    PlatformDetails: view.platformDetails,
    VirtualizationType: view.virtualizationType as Instance['VirtualizationType'],
    Hypervisor: 'xen',
    BootMode: (view.bootMode ?? undefined) as Instance['BootMode'],
    CurrentInstanceBootMode: 'legacy-bios',
    EnaSupport: view.enaSupport === 1,
    EbsOptimized: view.ebsOptimized === 1,
    Monitoring: { State: view.monitoring === 1 ? 'enabled' : 'disabled' },
    RootDeviceName: view.rootDeviceName,
    RootDeviceType: view.rootDeviceType,
    BlockDeviceMappings: ec2AttachedDevices(view),
    ClientToken: view.clientToken ?? '',
    InstanceLifecycle: view.spotRequestId === null ? undefined : 'spot',
    SpotInstanceRequestId: view.spotRequestId ?? undefined,
    CpuOptions: type && { CoreCount: type.vcpus / type.threadsPerCore, ThreadsPerCore: type.threadsPerCore },
    CapacityReservationSpecification: { CapacityReservationPreference: 'open' },
    HibernationOptions: { Configured: false },
    EnclaveOptions: { Enabled: false },
    MaintenanceOptions: { AutoRecovery: 'default', RebootMigration: 'default' },
    MetadataOptions: {
      State: view.state === 'pending' ? 'pending' : 'applied',
      HttpTokens: view.httpTokens,
      HttpEndpoint: view.httpEndpoint,
      HttpPutResponseHopLimit: view.httpPutResponseHopLimit,
      HttpProtocolIpv6: 'disabled',
      InstanceMetadataTags: view.instanceMetadataTags,
    },
    PrivateDnsNameOptions: {
      HostnameType: 'ip-name',
      EnableResourceNameDnsARecord: false,
      EnableResourceNameDnsAAAARecord: false,
    },
    Tags: ec2Tags(tags.get(view.id)),
  }
}

/** The volumes of an instance, as its description and its attribute of that name both tell them. */
export function ec2AttachedDevices(view: InstanceView): InstanceBlockDeviceMapping[] {
  return view.attachments.map((attachment) => ({
    DeviceName: attachment.deviceName,
    Ebs: {
      VolumeId: attachment.volumeId,
      // The instance's side knows no word for a volume that the guest still holds.
      Status: attachment.state === 'busy' ? 'detaching' : attachment.state,
      AttachTime: new Date(attachment.attachedAt),
      DeleteOnTermination: attachment.deleteOnTermination === 1,
    },
  }))
}

function ec2Interface(nic: InterfaceView, view: InstanceView): InstanceNetworkInterface {
  const association = publicAssociation(nic)
  const privateName = privateDnsName(nic.privateIp, view.region)
  return {
    NetworkInterfaceId: nic.id,
    OwnerId: nic.accountId,
    VpcId: nic.vpcId,
    SubnetId: nic.subnetId,
    MacAddress: nic.mac,
    PrivateIpAddress: nic.privateIp,
    PrivateDnsName: privateName,
    SourceDestCheck: nic.sourceDestCheck === 1,
    Status: 'in-use',
    Description: nic.description,
    InterfaceType: 'interface',
    Ipv6Addresses: [],
    Groups: ec2Groups(nic),
    Association: association,
    PrivateIpAddresses: [
      { PrivateIpAddress: nic.privateIp, PrivateDnsName: privateName, Primary: true, Association: association },
    ],
    Attachment: {
      AttachmentId: nic.attachmentId ?? undefined,
      DeviceIndex: nic.deviceIndex ?? undefined,
      NetworkCardIndex: 0,
      Status: nic.attachmentState ?? undefined,
      AttachTime: ec2Time(nic.attachedAt),
      DeleteOnTermination: nic.deleteOnTermination === 1,
    },
  }
}
