import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
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
    const { items, NextToken } = await describe('DescribeInternetGateways', input, context, {
      kind: 'internetGateway',
      ids: ['InternetGatewayIds', input.InternetGatewayIds],
      list: (request) => context.cloud.internetGateways.list(scopeOf(context), request),
      shape: ec2InternetGateway,
    })
    return { InternetGateways: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'internetGateways' | 'tags'>>
