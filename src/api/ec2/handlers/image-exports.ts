import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { ec2ExportImageTask } from '../shared/transfer-shapes.ts'

const formats = { VMDK: 'vmdk', RAW: 'raw', VHD: 'vhd' } as const

export const imageExportHandlers: Ec2Handlers<Cloud> = {
  async ExportImage(input, context) {
    const { 'export-image-task': tags } = readTagSpecifications(input.TagSpecifications, ['export-image-task'])
    const { S3Bucket: bucket, S3Prefix: prefix } = input.S3ExportLocation!
    if (!bucket) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter S3ExportLocation.S3Bucket')
    }
    const task = await context.cloud.transfers.exports.exportImage(scopeOf(context), {
      imageId: readId('image', input.ImageId!),
      format: readFormat(input.DiskImageFormat!),
      description: input.Description ?? null,
      target: { bucket, prefix: prefix ?? '' },
      tags,
      clientToken: readClientToken(input),
    })
    return { ...ec2ExportImageTask(task, tags), DiskImageFormat: input.DiskImageFormat, RoleName: input.RoleName }
  },

  async DescribeExportImageTasks(input, context) {
    const ids = readIds('exportImageTask', input.ExportImageTaskIds)
    const page = await context.cloud.transfers.tasks.list(scopeOf(context), 'export-image', {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeExportImageTasks', input, context, {
        min: 1,
        ids: { parameter: 'ExportImageTaskIds', given: ids },
      }),
    })
    const tags = await context.cloud.tags.of(
      scopeOf(context),
      page.items.map((task) => task.id),
    )
    return {
      ExportImageTasks: page.items.map((task) => ec2ExportImageTask(task, tags.get(task.id))),
      NextToken: nextTokenOf('DescribeExportImageTasks', context, page.next),
    }
  },

  async CancelExportTask(input, context) {
    const id = readId('exportImageTask', input.ExportTaskId!)
    await context.cloud.transfers.tasks.cancel(scopeOf(context), ['export-image'], id, null)
    return {}
  },
}

function readFormat(format: string): 'vmdk' | 'raw' | 'vhd' {
  if (Object.hasOwn(formats, format)) return formats[format as keyof typeof formats]
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(format)}) for parameter DiskImageFormat is invalid. Expected one of: VMDK, RAW, VHD.`,
  )
}
