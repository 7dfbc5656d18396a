import type { NatGateway, NatGatewayState } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { NatGatewayView } from '../../../cloud/network/nat-gateways.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags, ec2Time } from '../shared/views.ts'

export const natGatewayHandlers = {
  async CreateNatGateway(input, context) {
    const {
      ConnectivityType: type = 'public',
      AvailabilityMode: mode = 'zonal',
      SubnetId,
      AllocationId,
      ...more
    } = input
    const { PrivateIpAddress, TagSpecifications, ClientToken, DryRun: _, ...others } = more
    refuseGiven(others)
    if (type !== 'public') {
      throw new KilnError('UnsupportedOperation', `NAT gateways of the ConnectivityType ${type} are not supported yet`)
    }
    if (mode !== 'zonal') {
      throw new KilnError('UnsupportedOperation', `NAT gateways of the AvailabilityMode ${mode} are not supported yet`)
    }
    if (!SubnetId) throw new KilnError('MissingParameter', 'The request must contain the parameter SubnetId')
    if (!AllocationId) throw new KilnError('MissingParameter', 'The request must contain the parameter AllocationId')
    const { natgateway: tags } = readTagSpecifications(TagSpecifications, ['natgateway'])
    const gateway = await context.cloud.natGateways.create(scopeOf(context), {
      subnetId: readId('subnet', SubnetId),
      allocationId: readId('elasticAddress', AllocationId),
      privateIp: PrivateIpAddress || undefined,
      tags,
      clientToken: readClientToken(input),
    })
    return { NatGateway: ec2NatGateway(gateway, tags), ClientToken }
  },

  async DeleteNatGateway(input, context) {
    const id = readId('natGateway', input.NatGatewayId!)
    await context.cloud.natGateways.delete(scopeOf(context), id)
    return { NatGatewayId: id }
  },

  async DescribeNatGateways(input, context) {
    const { items, NextToken } = await describe('DescribeNatGateways', { ...input, Filters: input.Filter }, context, {
      kind: 'natGateway',
      ids: ['NatGatewayIds', input.NatGatewayIds],
      list: (request) => context.cloud.natGateways.list(scopeOf(context), request),
      shape: ec2NatGateway,
    })
    return { NatGateways: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'natGateways' | 'tags'>>

function ec2NatGateway(gateway: NatGatewayView, tags: readonly Tag[]): NatGateway {
  return {
    NatGatewayId: gateway.id,
    VpcId: gateway.vpcId,
    SubnetId: gateway.subnetId,
    State: gateway.state as NatGatewayState,
    ConnectivityType: 'public',
    CreateTime: new Date(gateway.createdAt),
    DeleteTime: ec2Time(gateway.deletedAt),
    NatGatewayAddresses: [
      {
        AllocationId: gateway.allocationId,
        AssociationId: gateway.associationId ?? undefined,
        NetworkInterfaceId: gateway.networkInterfaceId,
        PrivateIp: gateway.privateIp,
        PublicIp: gateway.publicIp,
        IsPrimary: true,
        Status: gateway.state === 'available' ? 'succeeded' : undefined,
      },
    ],
    Tags: ec2Tags(tags),
  }
}
