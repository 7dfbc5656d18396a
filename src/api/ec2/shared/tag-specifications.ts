/** Tags as requests bring them. Source: "Tag restrictions" in the EC2 user guide. */
import type { Tag as Ec2Tag, ResourceType, TagSpecification } from '@aws-sdk/client-ec2'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'

export interface Tag {
  key: string
  value: string
}

/**
 * The tags for each kind of resource that the operation makes; an empty list for a kind that none was given for.
 * Throws `InvalidParameterValue`, or `TagLimitExceeded` for more than 50 tags on one resource.
 */
export function readTagSpecifications<Type extends ResourceType>(
  specifications: readonly TagSpecification[] | undefined,
  allowed: readonly Type[],
): Record<Type, Tag[]> {
  const tags = Object.fromEntries(allowed.map((type) => [type, []])) as unknown as Record<Type, Tag[]>
  const seen = new Set<string>()
  for (const { ResourceType: type, Tags: given } of specifications ?? []) {
    if (!type) throw invalid('Tag specification resource type must have a value')
    if (!(allowed as readonly string[]).includes(type)) {
      throw invalid(`'${type}' is not a valid taggable resource type for this operation.`)
    }
    if (seen.has(type)) {
      throw invalid('The same resource type may not be specified more than once in tag specifications')
    }
    if (!given?.length) throw invalid('Tag specification must have at least one tag')
    seen.add(type)
    tags[type as Type] = readTags(given)
  }
  return tags
}

/** Tags to be put on one resource. A tag without a value has the empty one. */
export function readTags(tags: readonly Ec2Tag[]): Tag[] {
  if (tags.length > limits.tagsPerResource) {
    throw new KilnError('TagLimitExceeded', `A resource can have at most ${limits.tagsPerResource} tags.`)
  }
  const read = tags.map(({ Key: key, Value: value }) => ({ key: checkedKey(key), value: checkedValue(value ?? '') }))
  const keys = new Set<string>()
  for (const { key } of read) {
    if (keys.has(key)) throw invalid(`Duplicate tag key '${key}' specified.`)
    keys.add(key)
  }
  return read
}

function checkedKey(key: string | undefined): string {
  if (!key) throw invalid('Tag key cannot be null or empty')
  if (key.length > limits.tagKeyLength) {
    throw invalid(`Tag key exceeds the maximum length of ${limits.tagKeyLength} characters`)
  }
  refuseReservedKey(key)
  return key
}

export function refuseReservedKey(key: string): void {
  if (!key.toLowerCase().startsWith('aws:')) return
  throw invalid("Tag keys starting with 'aws:' are reserved for internal use")
}

function checkedValue(value: string): string {
  if (value.length > limits.tagValueLength) {
    throw invalid(`Tag value exceeds the maximum length of ${limits.tagValueLength} characters`)
  }
  return value
}

function invalid(message: string): KilnError {
  return new KilnError('InvalidParameterValue', message)
}
