import type { VolumeModification as Ec2VolumeModification, VolumeType } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

type Modification = Awaited<ReturnType<Cloud['volumeModifications']['modify']>>

export const volumeModificationHandlers: Ec2Handlers<Cloud> = {
  async ModifyVolume(input, context) {
    const volumeId = readId('volume', input.VolumeId!)
    const { Size, VolumeType: volumeType, Iops, Throughput, MultiAttachEnabled } = input
    if ([Size, volumeType, Iops, Throughput, MultiAttachEnabled].every((wish) => wish === undefined)) {
      throw new KilnError(
        'MissingParameter',
        'The request must contain at least one of the parameters Size, VolumeType, Iops, Throughput and MultiAttachEnabled',
      )
    }
    const modification = await context.cloud.volumeModifications.modify(scopeOf(context), {
      volumeId,
      sizeGib: Size ?? null,
      volumeType: volumeType ?? null,
      iops: Iops ?? null,
      throughput: Throughput ?? null,
      multiAttach: MultiAttachEnabled ?? null,
    })
    return { VolumeModification: ec2Modification(modification) }
  },

  async DescribeVolumesModifications(input, context) {
    const ids = readIds('volume', input.VolumeIds)
    refuseGiven({ IncludeManagedResources: input.IncludeManagedResources })
    const page = await context.cloud.volumeModifications.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeVolumesModifications', input, context, { ids: { parameter: 'VolumeIds', given: ids } }),
    })
    return {
      VolumesModifications: page.items.map(ec2Modification),
      NextToken: nextTokenOf('DescribeVolumesModifications', context, page.next),
    }
  },
}

function ec2Modification(modification: Modification): Ec2VolumeModification {
  return {
    VolumeId: modification.volumeId,
    ModificationState: modification.state,
    StatusMessage: modification.statusMessage ?? undefined,
    TargetSize: modification.targetSizeGib,
    TargetIops: modification.targetIops ?? undefined,
    TargetVolumeType: modification.targetType as VolumeType,
    TargetThroughput: modification.targetThroughput ?? undefined,
    TargetMultiAttachEnabled: modification.targetMultiAttach === 1,
    OriginalSize: modification.originalSizeGib,
    OriginalIops: modification.originalIops ?? undefined,
    OriginalVolumeType: modification.originalType as VolumeType,
    OriginalThroughput: modification.originalThroughput ?? undefined,
    OriginalMultiAttachEnabled: modification.originalMultiAttach === 1,
    Progress: modification.state === 'completed' ? 100 : 0,
    StartTime: new Date(modification.startedAt),
    EndTime: modification.endedAt === null ? undefined : new Date(modification.endedAt),
  }
}
