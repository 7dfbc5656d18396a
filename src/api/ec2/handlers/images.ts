import type { BlockDeviceMapping, Image, ImageAttribute, VolumeType } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { ImageView } from '../../../cloud/images/images.ts'
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readDevices } from '../shared/block-device-mappings.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readEncryption } from '../shared/encryption.ts'
import { readFilters } from '../shared/filters.ts'
import { ec2Permissions, ownerAliases, readUsers } from '../shared/grantees.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags, isoTime } from '../shared/views.ts'

export const imageHandlers: Ec2Handlers<Cloud> = {
  async DescribeImages(input, context) {
    const { cloud } = context
    const ids = readIds('image', input.ImageIds)
    const page = await cloud.images.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      owners: readUsers(input.Owners, context, ownerAliases),
      executableBy: readUsers(input.ExecutableUsers, context, ['all']),
      page: readPage('DescribeImages', input, context, { ids: { parameter: 'ImageIds', given: ids } }),
    })
    const tags = await cloud.tags.of(
      scopeOf(context),
      page.items.map((image) => image.id),
    )
    return {
      Images: page.items.map((image) => ({ ...ec2Image(image), Tags: ec2Tags(tags.get(image.id)) })),
      NextToken: nextTokenOf('DescribeImages', context, page.next),
    }
  },

  async DescribeImageAttribute(input, context) {
    const id = readId('image', input.ImageId!)
    const image = await context.cloud.images.get(scopeOf(context), id)
    return { ImageId: id, ...(await imageAttribute(image, input.Attribute!, context)) }
  },

  async CreateImage(input, context) {
    refuseGiven({
      SnapshotLocation: (input.SnapshotLocation ?? 'regional') !== 'regional',
      BootModeOverride: input.BootModeOverride,
    })
    const tags = readTagSpecifications(input.TagSpecifications, ['image', 'snapshot'])
    const id = await context.cloud.images.create(scopeOf(context), {
      instanceId: readId('instance', input.InstanceId!),
      name: input.Name!,
      description: input.Description ?? null,
      noReboot: input.NoReboot ?? false,
      devices: readDevices(input.BlockDeviceMappings),
      imageTags: tags.image,
      snapshotTags: tags.snapshot,
    })
    return { ImageId: id }
  },

  async RegisterImage(input, context) {
    const tags = readTagSpecifications(input.TagSpecifications, ['image'])
    const { KernelId, RamdiskId, BillingProducts, UefiData, TpmSupport } = input
    refuseGiven({ KernelId, RamdiskId, BillingProducts, UefiData, TpmSupport })
    if (!input.Name) throw new KilnError('MissingParameter', 'The request must contain the parameter Name')
    if (input.Architecture && input.Architecture !== 'x86_64') {
      throw new KilnError(
        'UnsupportedOperation',
        `Architecture '${input.Architecture}' is not supported on this host: x86_64 is`,
      )
    }
    if (input.BootMode && input.BootMode !== 'legacy-bios') {
      throw new KilnError('UnsupportedOperation', `BootMode '${input.BootMode}' is not supported yet: legacy-bios is`)
    }
    const about = {
      name: input.Name,
      description: input.Description ?? null,
      devices: readDevices(input.BlockDeviceMappings),
      virtualizationType: hvmOnly(input.VirtualizationType),
      enaSupport: input.EnaSupport ?? false,
      sriovNetSupport: readSriov(input.SriovNetSupport),
      bootMode: input.BootMode ?? null,
      imdsSupport: input.ImdsSupport ?? null,
      tpmSupport: null,
      tags: tags.image,
    }
    const { ImageLocation, Architecture = null, RootDeviceName = null } = input
    if (ImageLocation) {
      const where = { imageLocation: ImageLocation, architecture: Architecture, rootDeviceName: RootDeviceName }
      return { ImageId: await context.cloud.instanceStoreImages.register(scopeOf(context), { ...about, ...where }) }
    }
    const id = await context.cloud.images.register(scopeOf(context), {
      ...about,
      architecture: Architecture ?? 'x86_64',
      rootDeviceName: RootDeviceName ?? '/dev/sda1',
    })
    return { ImageId: id }
  },

  async CopyImage(input, context) {
    const tags = readTagSpecifications(input.TagSpecifications, ['image', 'snapshot'])
    const { DestinationOutpostArn, SnapshotCopyCompletionDurationMinutes } = input
    const { DestinationAvailabilityZone, DestinationAvailabilityZoneId } = input
    refuseGiven({
      ...{ DestinationOutpostArn, SnapshotCopyCompletionDurationMinutes },
      ...{ DestinationAvailabilityZone, DestinationAvailabilityZoneId },
    })
    const request = {
      sourceRegion: input.SourceRegion!,
      sourceImageId: readId('image', input.SourceImageId!),
      name: input.Name!,
      description: input.Description ?? null,
      copyTags: input.CopyImageTags ?? false,
      encryption: readEncryption(input),
      imageTags: tags.image,
      snapshotTags: tags.snapshot,
      clientToken: readClientToken(input),
    }
    const { images, bundleCopies } = context.cloud
    const isBundled = await bundleCopies.isAsked(request)
    return { ImageId: await (isBundled ? bundleCopies : images).copy(scopeOf(context), request) }
  },

  async DeregisterImage(input, context) {
    const id = readId('image', input.ImageId!)
    const results = await context.cloud.images.deregister(
      scopeOf(context),
      id,
      input.DeleteAssociatedSnapshots ?? false,
    )
    return {
      Return: true,
      DeleteSnapshotResults: results.map(({ snapshotId, outcome }) => ({
        SnapshotId: snapshotId,
        ReturnCode: outcome,
      })),
    }
  },
}

function hvmOnly(type: string | undefined): string {
  // RegisterImage's documented default is paravirtual, which no current instance type can launch.
  if (type === undefined || type === 'hvm') return 'hvm'
  if (type === 'paravirtual') {
    throw new KilnError('UnsupportedOperation', `VirtualizationType '${type}' is not supported: hvm is`)
  }
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(type)}) for parameter VirtualizationType is invalid. Expected one of: hvm, paravirtual.`,
  )
}

function readSriov(support: string | undefined): string | null {
  if (!support) return null
  if (support === 'simple') return support
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(support)}) for parameter SriovNetSupport is invalid. Expected: simple.`,
  )
}

/** The image as DescribeImages tells it, without its tags. */
export function ec2Image(image: ImageView): Image {
  return {
    ImageId: image.id,
    ImageLocation: image.imageLocation ?? `${image.ownerAlias ?? image.accountId}/${image.name}`,
    ImageType: 'machine',
    ImageOwnerAlias: image.ownerAlias ?? undefined,
    OwnerId: image.accountId,
    Public: image.isPublic,
    Name: image.name,
    Description: image.description ?? undefined,
    State: image.state,
    StateReason: image.stateReasonCode
      ? { Code: image.stateReasonCode, Message: image.stateReasonMessage ?? undefined }
      : undefined,
    Architecture: image.architecture as Image['Architecture'],
    CreationDate: isoTime(image.createdAt),
    PlatformDetails: image.platformDetails,
    UsageOperation: 'RunInstances',
    RootDeviceName: image.rootDeviceName,
    RootDeviceType: image.rootDeviceType,
    VirtualizationType: image.virtualizationType as Image['VirtualizationType'],
    Hypervisor: 'xen',
    EnaSupport: image.enaSupport === 1,
    SriovNetSupport: image.sriovNetSupport ?? undefined,
    BootMode: (image.bootMode ?? undefined) as Image['BootMode'],
    ImdsSupport: (image.imdsSupport ?? undefined) as Image['ImdsSupport'],
    TpmSupport: (image.tpmSupport ?? undefined) as Image['TpmSupport'],
    SourceInstanceId: image.sourceInstanceId ?? undefined,
    SourceImageId: image.sourceImageId ?? undefined,
    SourceImageRegion: image.sourceImageRegion ?? undefined,
    BlockDeviceMappings: ec2Devices(image),
  }
}

function ec2Devices(image: ImageView): BlockDeviceMapping[] {
  return image.devices.map((device) =>
    device.virtualName !== null
      ? { DeviceName: device.deviceName, VirtualName: device.virtualName }
      : {
          DeviceName: device.deviceName,
          Ebs: {
            SnapshotId: device.snapshotId ?? undefined,
            VolumeSize: device.sizeGib ?? undefined,
            VolumeType: (device.volumeType ?? undefined) as VolumeType | undefined,
            // Shown where a figure was provisioned: gp2's follows from its size.
            Iops: device.volumeType === 'gp2' ? undefined : (device.iops ?? undefined),
            Throughput: device.throughput ?? undefined,
            DeleteOnTermination: device.deleteOnTermination === 1,
            Encrypted: device.encrypted === 1,
          },
        },
  )
}

async function imageAttribute(
  image: ImageView,
  attribute: string,
  context: RequestContext<Cloud>,
): Promise<ImageAttribute> {
  switch (attribute) {
    case 'description':
      return { Description: { Value: image.description ?? '' } }
    case 'launchPermission': {
      const grantees = await context.cloud.imagePermissions.list(scopeOf(context), image.id)
      return { LaunchPermissions: ec2Permissions(grantees) }
    }
    case 'blockDeviceMapping':
      return { BlockDeviceMappings: ec2Devices(image) }
    case 'sriovNetSupport':
      return { SriovNetSupport: { Value: image.sriovNetSupport ?? undefined } }
    case 'bootMode':
      return { BootMode: { Value: image.bootMode ?? undefined } }
    case 'tpmSupport':
      return { TpmSupport: { Value: image.tpmSupport ?? undefined } }
    case 'imdsSupport':
      return { ImdsSupport: { Value: image.imdsSupport ?? undefined } }
    case 'deregistrationProtection':
      return { DeregistrationProtection: { Value: 'disabled' } }
    case 'uefiData':
      return { UefiData: {} }
    case 'lastLaunchedTime':
      // EC2 leaves it empty for a day and more after a launch, and for images that were never launched.
      return { LastLaunchedTime: {} }
    case 'kernel':
      return { KernelId: {} }
    case 'ramdisk':
      return { RamdiskId: {} }
    case 'productCodes':
      return { ProductCodes: [] }
    default:
      throw new KilnError('InvalidParameterValue', `Value (${attribute}) for parameter Attribute is invalid.`)
  }
}
