import type { Volume, VolumeType } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { VolumeView } from '../../../cloud/volumes/volumes.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { ec2Encryption, readEncryption } from '../shared/encryption.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'
import { ec2Attachment } from './volume-attachments.ts'

export const volumeHandlers: Ec2Handlers<Cloud> = {
  async CreateVolume(input, context) {
    const { volume: tags } = readTagSpecifications(input.TagSpecifications, ['volume'])
    const { OutpostArn, AvailabilityZoneId } = input
    refuseGiven({ OutpostArn, AvailabilityZoneId })
    if (!input.AvailabilityZone) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter AvailabilityZone')
    }
    const volume = await context.cloud.volumeCreations.create(scopeOf(context), {
      zone: input.AvailabilityZone,
      sizeGib: input.Size ?? null,
      snapshotId: input.SnapshotId ? readId('snapshot', input.SnapshotId) : null,
      volumeType: input.VolumeType ?? null,
      iops: input.Iops ?? null,
      throughput: input.Throughput ?? null,
      initializationRate: input.VolumeInitializationRate ?? null,
      encryption: readEncryption(input),
      multiAttach: input.MultiAttachEnabled ?? false,
      tags,
      clientToken: readClientToken(input),
    })
    return ec2Volume({ ...volume, attachments: [] }, tags, await context.cloud.encryption.arnsOf([volume]))
  },

  async CopyVolumes(input, context) {
    const { volume: tags } = readTagSpecifications(input.TagSpecifications, ['volume'])
    const volume = await context.cloud.volumeCopies.create(scopeOf(context), {
      sourceVolumeId: readId('volume', input.SourceVolumeId!),
      sizeGib: input.Size ?? null,
      volumeType: input.VolumeType ?? null,
      iops: input.Iops ?? null,
      throughput: input.Throughput ?? null,
      multiAttach: input.MultiAttachEnabled ?? false,
      encryption: readEncryption(input),
      tags,
      clientToken: readClientToken(input),
    })
    return {
      Volumes: [ec2Volume({ ...volume, attachments: [] }, tags, await context.cloud.encryption.arnsOf([volume]))],
    }
  },

  async DescribeVolumes(input, context) {
    const ids = readIds('volume', input.VolumeIds)
    const page = await context.cloud.volumes.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeVolumes', input, context, { ids: { parameter: 'VolumeIds', given: ids } }),
    })
    const tags = await context.cloud.tags.of(
      scopeOf(context),
      page.items.map((volume) => volume.id),
    )
    const arns = await context.cloud.encryption.arnsOf(page.items)
    return {
      Volumes: page.items.map((volume) => ec2Volume(volume, tags.get(volume.id) ?? [], arns)),
      NextToken: nextTokenOf('DescribeVolumes', context, page.next),
    }
  },

  async DeleteVolume(input, context) {
    await context.cloud.volumes.delete(scopeOf(context), readId('volume', input.VolumeId!))
    return {}
  },
}

function ec2Volume(volume: VolumeView, tags: readonly Tag[], arns: ReadonlyMap<string, string>): Volume {
  return {
    VolumeId: volume.id,
    Size: volume.sizeGib,
    SnapshotId: volume.snapshotId ?? '',
    AvailabilityZone: volume.zone,
    State: volume.state,
    CreateTime: new Date(volume.createdAt),
    VolumeType: volume.volumeType as VolumeType,
    Iops: volume.iops ?? undefined,
    Throughput: volume.throughput ?? undefined,
    ...ec2Encryption(volume, arns),
    MultiAttachEnabled: volume.multiAttach === 1,
    SourceVolumeId: volume.sourceVolumeId ?? undefined,
    VolumeInitializationRate: volume.initializationRate ?? undefined,
    FastRestored: volume.fastRestored === 1,
    Attachments: volume.attachments.map(ec2Attachment),
    Tags: ec2Tags(tags),
  }
}
