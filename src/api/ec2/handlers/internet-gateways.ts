import type { InternetGateway } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { askedFor, filtered, type ListedRules, pageOf, tagRules } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { ec2InternetGateway } from '../shared/vpc-shapes.ts'

export const internetGatewayHandlers = {
  async CreateInternetGateway(input, context) {
    const { 'internet-gateway': tags } = readTagSpecifications(input.TagSpecifications, ['internet-gateway'])
    const gateway = await context.cloud.internetGateways.create(scopeOf(context), tags)
    return { InternetGateway: ec2InternetGateway(gateway, tags) }
  },

  async AttachInternetGateway(input, context) {
    const id = readId('internetGateway', input.InternetGatewayId!)
    await context.cloud.internetGateways.attach(scopeOf(context), id, readId('vpc', input.VpcId!))
    return {}
  },

  async DetachInternetGateway(input, context) {
    const id = readId('internetGateway', input.InternetGatewayId!)
    await context.cloud.internetGateways.detach(scopeOf(context), id, readId('vpc', input.VpcId!))
    return {}
  },

  async DeleteInternetGateway(input, context) {
    await context.cloud.internetGateways.delete(scopeOf(context), readId('internetGateway', input.InternetGatewayId!))
    return {}
  },

  async DescribeInternetGateways(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('internetGateway', input.InternetGatewayIds)
    const page = readPage('DescribeInternetGateways', input, scope, {
      ids: { parameter: 'InternetGatewayIds', given: ids },
    })
    const rows = await cloud.internetGateways.list(scope)
    const tags = await cloud.tags.of(
      scope,
      rows.map((row) => row.id),
    )
    const keyOf = (gateway: InternetGateway) => gateway.InternetGatewayId!
    const all = rows.map((row) => ec2InternetGateway(row, tags.get(row.id)))
    const gateways = askedFor(all, keyOf, ids, (id) => {
      return new KilnError('InvalidInternetGatewayID.NotFound', `The internetGateway ID '${id}' does not exist`)
    })
    const { items, next } = pageOf(filtered(gateways, internetGatewayFilters, filters), keyOf, page)
    return { InternetGateways: items, NextToken: nextTokenOf('DescribeInternetGateways', scope, next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'internetGateways' | 'tags'>>

const internetGatewayFilters: ListedRules<InternetGateway> = {
  'internet-gateway-id': (gateway) => gateway.InternetGatewayId,
  'owner-id': (gateway) => gateway.OwnerId,
  'attachment.vpc-id': (gateway) => gateway.Attachments!.map((attachment) => attachment.VpcId),
  'attachment.state': (gateway) => gateway.Attachments!.map((attachment) => attachment.State),
  ...tagRules,
}
