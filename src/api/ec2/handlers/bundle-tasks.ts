/** Bundles of running instances. */
import type { BundleTask as Ec2BundleTask } from '@aws-sdk/client-ec2'
import type { BundleTask } from '../../../cloud/bundle-tasks/bundle-tasks.ts'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { missing } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import { readUploadRight } from '../shared/upload-policy.ts'

export const bundleTaskHandlers = {
  async BundleInstance(input, context) {
    const storage = input.Storage?.S3 ?? {}
    const { Bucket: bucket, Prefix: prefix } = storage
    if (!bucket) throw missing('Storage.S3.Bucket')
    if (!prefix) throw missing('Storage.S3.Prefix')
    const right = await readUploadRight(storage, { bucket, prefix, ...context })
    const task = await context.cloud.bundleTasks.bundle(scopeOf(context), {
      instanceId: readId('instance', input.InstanceId!),
      ...{ bucket, prefix, ...right },
    })
    return { BundleTask: ec2Task(task) }
  },

  async DescribeBundleTasks(input, context) {
    const page = await context.cloud.bundleTasks.list(scopeOf(context), {
      ids: readIds('bundleTask', input.BundleIds),
      filters: readFilters(input.Filters),
    })
    return { BundleTasks: page.items.map(ec2Task) }
  },

  async CancelBundleTask(input, context) {
    const id = readId('bundleTask', input.BundleId!)
    return { BundleTask: ec2Task(await context.cloud.bundleTasks.cancel(scopeOf(context), id)) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'bundleTasks'>>

function ec2Task(task: BundleTask): Ec2BundleTask {
  return {
    BundleId: task.id,
    InstanceId: task.instanceId,
    State: task.state,
    Progress: `${task.progress}%`,
    StartTime: new Date(task.createdAt),
    UpdateTime: new Date(task.updatedAt),
    Storage: { S3: { Bucket: task.bucket, Prefix: task.prefix } },
    BundleTaskError:
      task.errorCode === null ? undefined : { Code: task.errorCode, Message: task.errorMessage ?? undefined },
  }
}
