/** Images as objects in S3, and back. */
import type { StoreImageTaskResult } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, readTags } from '../shared/tag-specifications.ts'

/** Source: "Categorizing your storage using tags" in the S3 user guide. */
const objectTagsMax = 10

export const storedImageHandlers = {
  async CreateStoreImageTask(input, context) {
    const { S3ObjectTags: given = [] } = input
    if (given.length > objectTagsMax) {
      throw new KilnError('TagLimitExceeded', `An S3 object can have at most ${objectTagsMax} tags (S3ObjectTag).`)
    }
    const ObjectKey = await context.cloud.storedImages.store(scopeOf(context), {
      imageId: readId('image', input.ImageId!),
      bucket: input.Bucket!,
      objectTags: readTags(given),
    })
    return { ObjectKey }
  },

  async DescribeStoreImageTasks(input, context) {
    const imageIds = readIds('image', input.ImageIds)
    if (imageIds && imageIds.length > limits.storeTaskImages) {
      throw new KilnError('InvalidParameterValue', `ImageIds has more than ${limits.storeTaskImages} entries`)
    }
    const ids = { parameter: 'ImageIds', given: imageIds }
    const page = await context.cloud.storedImages.list(scopeOf(context), {
      imageIds,
      // EC2 ignores them beside image ids.
      filters: imageIds ? [] : readFilters(input.Filters),
      page: readPage('DescribeStoreImageTasks', input, context, { min: 1, max: 200, ids }),
    })
    return {
      StoreImageTaskResults: page.items.map(
        (task): StoreImageTaskResult => ({
          AmiId: task.imageId,
          TaskStartTime: new Date(task.createdAt),
          Bucket: task.bucket,
          S3objectKey: task.objectKey,
          ProgressPercentage: task.progress,
          StoreTaskState: task.state,
          StoreTaskFailureReason: task.failureReason ?? undefined,
        }),
      ),
      NextToken: nextTokenOf('DescribeStoreImageTasks', context, page.next),
    }
  },

  async CreateRestoreImageTask(input, context) {
    const tags = readTagSpecifications(input.TagSpecifications, ['image', 'snapshot'])
    const ImageId = await context.cloud.storedImages.restore(scopeOf(context), {
      bucket: input.Bucket!,
      key: input.ObjectKey!,
      name: input.Name ?? null,
      imageTags: tags.image,
      snapshotTags: tags.snapshot,
    })
    return { ImageId }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'storedImages'>>
