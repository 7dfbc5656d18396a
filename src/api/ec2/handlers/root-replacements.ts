/** Roots that are replaced under a running instance. */
import type { ReplaceRootVolumeTask as Ec2Task, ReplaceRootVolumeTaskState } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { ec2Tags, isoTime } from '../shared/views.ts'

type Task = Awaited<ReturnType<Cloud['rootReplacements']['create']>>

export const rootReplacementHandlers = {
  async CreateReplaceRootVolumeTask(input, context) {
    const tags = readTagSpecifications(input.TagSpecifications, ['replace-root-volume-task'])
    const task = await context.cloud.rootReplacements.create(scopeOf(context), {
      instanceId: readId('instance', input.InstanceId!),
      snapshotId: input.SnapshotId ? readId('snapshot', input.SnapshotId) : null,
      imageId: input.ImageId ? readId('image', input.ImageId) : null,
      volumeId: input.VolumeId ? readId('volume', input.VolumeId) : null,
      initializationRate: input.VolumeInitializationRate ?? null,
      deletesOld: input.DeleteReplacedRootVolume ?? false,
      tags: tags['replace-root-volume-task'],
      clientToken: readClientToken(input),
    })
    const known = await context.cloud.tags.of(scopeOf(context), [task.id])
    return { ReplaceRootVolumeTask: ec2Task(task, known.get(task.id)) }
  },

  async DescribeReplaceRootVolumeTasks(input, context) {
    const ids = readIds('replaceRootVolumeTask', input.ReplaceRootVolumeTaskIds)
    const page = await context.cloud.rootReplacements.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeReplaceRootVolumeTasks', input, context, {
        ids: { parameter: 'ReplaceRootVolumeTaskIds', given: ids },
        min: 1,
        max: 50,
      }),
    })
    const tags = await context.cloud.tags.of(
      scopeOf(context),
      page.items.map((task) => task.id),
    )
    return {
      ReplaceRootVolumeTasks: page.items.map((task) => ec2Task(task, tags.get(task.id))),
      NextToken: nextTokenOf('DescribeReplaceRootVolumeTasks', context, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'rootReplacements' | 'tags'>>

function ec2Task(task: Task, tags: readonly Tag[] | undefined): Ec2Task {
  return {
    ReplaceRootVolumeTaskId: task.id,
    InstanceId: task.instanceId,
    TaskState: task.state as ReplaceRootVolumeTaskState,
    StartTime: isoTime(task.startedAt),
    CompleteTime: task.completedAt === null ? undefined : isoTime(task.completedAt),
    ImageId: task.imageId ?? undefined,
    SnapshotId: task.snapshotId ?? undefined,
    DeleteReplacedRootVolume: task.deletesOld === 1,
    Tags: ec2Tags(tags),
  }
}
