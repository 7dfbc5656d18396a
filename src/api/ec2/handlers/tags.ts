import type { Tag as Ec2Tag, TagDescription } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { TagRow } from '../../../cloud/tags.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTags, refuseReservedKey } from '../shared/tag-specifications.ts'

export const tagHandlers = {
  async CreateTags(input, context) {
    if (!input.Tags?.length) throw missing('Tag')
    await context.cloud.tags.create(scopeOf(context), readResources(input.Resources), readTags(input.Tags))
    return {}
  },

  async DeleteTags(input, context) {
    checkCount('Tag', input.Tags?.length ?? 0)
    const tags = (input.Tags ?? []).map(readTagToDelete)
    await context.cloud.tags.remove(scopeOf(context), readResources(input.Resources), tags)
    return {}
  },

  async DescribeTags(input, context) {
    const page = await context.cloud.tags.list(scopeOf(context), {
      filters: readFilters(input.Filters),
      page: readPage('DescribeTags', input, context),
    })
    return { Tags: page.items.map(ec2TagDescription), NextToken: nextTokenOf('DescribeTags', context, page.next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'tags'>>

function readResources(resources: readonly string[] | undefined): readonly string[] {
  if (!resources?.length) throw missing('ResourceId')
  checkCount('ResourceId', resources.length)
  return [...new Set(resources)]
}

function checkCount(parameter: string, count: number): void {
  if (count <= limits.taggedPerRequest) return
  throw new KilnError(
    'InvalidParameterValue',
    `The parameter ${parameter} has ${count} items; at most ${limits.taggedPerRequest} are allowed.`,
  )
}

/** Without a value, a tag is deleted whatever its value is; with one, even an empty one, only if it is the same. */
function readTagToDelete({ Key: key, Value: value }: Ec2Tag): { key: string; value: string | undefined } {
  if (!key) throw new KilnError('InvalidParameterValue', 'Tag key cannot be null or empty')
  refuseReservedKey(key)
  return { key, value }
}

const missing = (parameter: string) =>
  new KilnError('MissingParameter', `The request must contain the parameter ${parameter}`)

function ec2TagDescription({ resourceId, resourceType, key, value }: TagRow): TagDescription {
  return {
    ResourceId: resourceId,
    ResourceType: resourceType as TagDescription['ResourceType'],
    Key: key,
    Value: value,
  }
}
