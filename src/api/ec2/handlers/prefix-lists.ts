import type { ManagedPrefixList } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'

const page = { min: 1, max: limits.prefixListPageMax }

export const prefixListHandlers = {
  async CreateManagedPrefixList(input, context) {
    const { 'prefix-list': tags } = readTagSpecifications(input.TagSpecifications, ['prefix-list'])
    const family = input.AddressFamily!
    if (family !== 'IPv4' && family !== 'IPv6') {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${family.slice(0, 100)}) for parameter AddressFamily is invalid`,
      )
    }
    const list = await context.cloud.prefixLists.create(scopeOf(context), {
      name: input.PrefixListName!,
      addressFamily: family,
      maxEntries: input.MaxEntries!,
      entries: (input.Entries ?? []).map(entryRequest),
      tags,
      clientToken: readClientToken(input),
    })
    return { PrefixList: ec2PrefixList(list, tags) }
  },

  async ModifyManagedPrefixList(input, context) {
    refuseGiven({ IpamPrefixListResolverSyncEnabled: input.IpamPrefixListResolverSyncEnabled })
    const list = await context.cloud.prefixLists.modify(scopeOf(context), readId('prefixList', input.PrefixListId!), {
      currentVersion: input.CurrentVersion,
      name: input.PrefixListName,
      maxEntries: input.MaxEntries,
      add: (input.AddEntries ?? []).map(entryRequest),
      remove: (input.RemoveEntries ?? []).map((entry) => entry.Cidr!),
    })
    return { PrefixList: ec2PrefixList(list, undefined) }
  },

  async RestoreManagedPrefixListVersion(input, context) {
    const versions = { previous: input.PreviousVersion!, current: input.CurrentVersion! }
    const id = readId('prefixList', input.PrefixListId!)
    const list = await context.cloud.prefixLists.restore(scopeOf(context), id, versions)
    return { PrefixList: ec2PrefixList(list, undefined) }
  },

  async DeleteManagedPrefixList(input, context) {
    const list = await context.cloud.prefixLists.delete(scopeOf(context), readId('prefixList', input.PrefixListId!))
    return { PrefixList: { ...ec2PrefixList(list, undefined), State: 'delete-complete' as const } }
  },

  async DescribeManagedPrefixLists(input, context) {
    const { items, NextToken } = await describe('DescribeManagedPrefixLists', input, context, {
      kind: 'prefixList',
      ids: ['PrefixListIds', input.PrefixListIds],
      page,
      list: (request) => context.cloud.prefixLists.list(scopeOf(context), request),
      shape: ec2PrefixList,
    })
    return { PrefixLists: items, NextToken }
  },

  /** The older list knows those of AWS alone. */
  async DescribePrefixLists(input, context) {
    const { prefixLists } = context.cloud
    const { items, NextToken } = await describe('DescribePrefixLists', input, context, {
      kind: 'prefixList',
      ids: ['PrefixListIds', input.PrefixListIds],
      list: (request) => prefixLists.list(scopeOf(context), request, { isOfAllOnly: true }),
      shape: (list) => list,
    })
    const cidrs = await prefixLists.cidrsOf(items.map((list) => list.id))
    return {
      PrefixLists: items.map(({ id, name }) => ({
        ...{ PrefixListId: id, PrefixListName: name },
        Cidrs: cidrs.get(id) ?? [],
      })),
      NextToken,
    }
  },

  async GetManagedPrefixListEntries(input, context) {
    const scope = scopeOf(context)
    const { items, next } = await context.cloud.prefixLists.entries(scope, readId('prefixList', input.PrefixListId!), {
      version: input.TargetVersion,
      page: readPage('GetManagedPrefixListEntries', input, scope, page),
    })
    return {
      Entries: items.map(({ cidr, description }) => ({ Cidr: cidr, Description: description ?? undefined })),
      NextToken: nextTokenOf('GetManagedPrefixListEntries', scope, next),
    }
  },

  async GetManagedPrefixListAssociations(input, context) {
    const scope = scopeOf(context)
    const asked = readPage('GetManagedPrefixListAssociations', input, scope, { min: 5, max: 255 })
    const id = readId('prefixList', input.PrefixListId!)
    const { items, next } = await context.cloud.prefixLists.users(scope, id, asked)
    return {
      PrefixListAssociations: items.map((user) => ({ ResourceId: user.id, ResourceOwner: user.accountId })),
      NextToken: nextTokenOf('GetManagedPrefixListAssociations', scope, next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'prefixLists' | 'tags'>>

function entryRequest({ Cidr, Description }: { Cidr?: string | undefined; Description?: string | undefined }) {
  return { cidr: Cidr!, description: Description || null }
}

type PrefixListRow = Awaited<ReturnType<Cloud['prefixLists']['create']>>

/** Those of AWS have neither versions nor a maximum. */
function ec2PrefixList(list: PrefixListRow, tags: readonly Tag[] | undefined): ManagedPrefixList {
  const isOfAll = list.accountId === 'AWS'
  return {
    PrefixListId: list.id,
    PrefixListName: list.name,
    PrefixListArn: `arn:aws:ec2:${list.region}:${isOfAll ? 'aws' : list.accountId}:prefix-list/${list.id}`,
    AddressFamily: list.addressFamily,
    State: list.state,
    OwnerId: list.accountId,
    ...(isOfAll ? {} : { MaxEntries: list.maxEntries, Version: list.version }),
    Tags: ec2Tags(tags),
  }
}
