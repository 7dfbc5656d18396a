import type { Volume, VolumeType } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { VolumeView } from '../../../cloud/volumes/volumes.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import type { Tag } from '../shared/tag-specifications.ts'
import { ec2Tags } from '../shared/views.ts'

export const volumeHandlers: Ec2Handlers<Cloud> = {
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
    return {
      Volumes: page.items.map((volume) => ec2Volume(volume, tags.get(volume.id) ?? [])),
      NextToken: nextTokenOf('DescribeVolumes', context, page.next),
    }
  },

  async DeleteVolume(input, context) {
    await context.cloud.volumes.delete(scopeOf(context), readId('volume', input.VolumeId!))
    return {}
  },
}

function ec2Volume(volume: VolumeView, tags: readonly Tag[]): Volume {
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
    Encrypted: volume.encrypted === 1,
    MultiAttachEnabled: false,
    Attachments: volume.attachments.map((attachment) => ({
      VolumeId: attachment.volumeId,
      InstanceId: attachment.instanceId,
      Device: attachment.deviceName,
      State: attachment.state,
      AttachTime: new Date(attachment.attachedAt),
      DeleteOnTermination: attachment.deleteOnTermination === 1,
    })),
    Tags: ec2Tags(tags),
  }
}
