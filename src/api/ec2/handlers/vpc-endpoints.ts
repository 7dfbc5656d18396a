import { isDeepStrictEqual } from 'node:util'
import type { ServiceDetail, VpcEndpoint } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { checkService, gatewayServices, type VpcEndpointView } from '../../../cloud/network/vpc-endpoints.ts'
import { KilnError } from '../../../lib/errors.ts'
import { zonesOf } from '../../../lib/regions.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { describe } from '../shared/description.ts'
import { readFilters } from '../shared/filters.ts'
import { readId } from '../shared/ids.ts'
import { filtered, type ListedRules, pageOf } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'

/** The policy of an endpoint that was given none, which is the only one that there is. */
const openPolicy = {
  Version: '2008-10-17',
  Statement: [{ Effect: 'Allow', Principal: '*', Action: '*', Resource: '*' }],
}

export const vpcEndpointHandlers = {
  async CreateVpcEndpoint(input, context) {
    const { VpcEndpointType: type = 'Gateway', VpcId, ServiceName, RouteTableIds, PolicyDocument, ...more } = input
    const { TagSpecifications, ClientToken, DryRun: _, PrivateDnsEnabled, ...others } = more
    if (type !== 'Gateway') {
      throw new KilnError(
        'UnsupportedOperation',
        `VPC endpoints of the type ${type} (VpcEndpointType) are not supported yet: Gateway is`,
      )
    }
    refuseGiven({ ...others, PrivateDnsEnabled })
    if (!ServiceName) throw new KilnError('MissingParameter', 'The request must contain the parameter ServiceName')
    checkPolicy(PolicyDocument)
    const { 'vpc-endpoint': tags } = readTagSpecifications(TagSpecifications, ['vpc-endpoint'])
    const endpoint = await context.cloud.vpcEndpoints.create(scopeOf(context), {
      vpcId: readId('vpc', VpcId!),
      service: ServiceName,
      routeTableIds: (RouteTableIds ?? []).map((id) => readId('routeTable', id)),
      tags,
      clientToken: readClientToken(input),
    })
    return { VpcEndpoint: ec2VpcEndpoint(endpoint, tags), ClientToken }
  },

  async ModifyVpcEndpoint(input, context) {
    const { VpcEndpointId, AddRouteTableIds, RemoveRouteTableIds, PolicyDocument, ResetPolicy: _, ...more } = input
    const { DryRun: __, ...others } = more
    refuseGiven(others)
    checkPolicy(PolicyDocument)
    const tables = (ids: string[] | undefined) => (ids ?? []).map((id) => readId('routeTable', id))
    const change = { add: tables(AddRouteTableIds), remove: tables(RemoveRouteTableIds) }
    await context.cloud.vpcEndpoints.modify(scopeOf(context), readId('vpcEndpoint', VpcEndpointId!), change)
    return { Return: true }
  },

  async DeleteVpcEndpoints(input, context) {
    const ids = input.VpcEndpointIds!.map((id) => readId('vpcEndpoint', id))
    const failures = await context.cloud.vpcEndpoints.delete(scopeOf(context), ids)
    return {
      Unsuccessful: failures.map(({ id, code, message }) => ({
        ResourceId: id,
        Error: { Code: code, Message: message },
      })),
    }
  },

  async DescribeVpcEndpoints(input, context) {
    const { items, NextToken } = await describe('DescribeVpcEndpoints', input, context, {
      kind: 'vpcEndpoint',
      ids: ['VpcEndpointIds', input.VpcEndpointIds],
      page: { min: 1 },
      list: (request) => context.cloud.vpcEndpoints.list(scopeOf(context), request),
      shape: ec2VpcEndpoint,
    })
    return { VpcEndpoints: items, NextToken }
  },

  async DescribeVpcEndpointServices(input, context) {
    const scope = scopeOf(context)
    const elsewhere = input.ServiceRegions?.find((region) => region !== scope.region)
    if (elsewhere) {
      throw new KilnError('UnsupportedOperation', `Services of ${elsewhere} (ServiceRegions) are not supported yet`)
    }
    for (const name of input.ServiceNames ?? []) checkService(scope.region, name)
    const page = readPage('DescribeVpcEndpointServices', input, scope, { min: 1 })
    const details = filtered(
      gatewayServices(scope.region).map((name) => serviceDetail(scope.region, name)),
      serviceFilters,
      readFilters(input.Filters),
    )
    const { items, next } = pageOf(details, (detail) => detail.ServiceName!, page)
    return {
      ServiceNames: items.map((detail) => detail.ServiceName!),
      ServiceDetails: items,
      NextToken: nextTokenOf('DescribeVpcEndpointServices', scope, next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcEndpoints' | 'tags'>>

/** Nothing here would enforce any other. */
function checkPolicy(text: string | undefined): void {
  if (!text) return
  let policy: typeof openPolicy
  try {
    policy = JSON.parse(text)
  } catch {
    throw new KilnError('InvalidParameterValue', 'The parameter PolicyDocument is no JSON')
  }
  if (isDeepStrictEqual({ ...policy, Version: openPolicy.Version }, openPolicy)) return
  throw new KilnError(
    'UnsupportedOperation',
    'A policy (PolicyDocument) that does not allow everything to everybody is not supported yet',
  )
}

function ec2VpcEndpoint(endpoint: VpcEndpointView, tags: readonly Tag[]): VpcEndpoint {
  return {
    VpcEndpointId: endpoint.id,
    VpcEndpointType: 'Gateway',
    VpcId: endpoint.vpcId,
    OwnerId: endpoint.accountId,
    ServiceName: endpoint.serviceName,
    ServiceRegion: endpoint.region,
    // EC2 says `available` here, which its own model writes with a capital.
    State: 'available' as VpcEndpoint['State'],
    PolicyDocument: JSON.stringify(openPolicy),
    RouteTableIds: endpoint.routeTableIds,
    SubnetIds: [],
    Groups: [],
    NetworkInterfaceIds: [],
    DnsEntries: [],
    PrivateDnsEnabled: false,
    RequesterManaged: false,
    CreationTimestamp: new Date(endpoint.createdAt),
    Tags: ec2Tags(tags),
  }
}

function serviceDetail(region: string, name: string): ServiceDetail {
  return {
    ServiceName: name,
    ServiceId: `vpce-svc-${Buffer.from(name).toString('hex').slice(-17)}`,
    ServiceType: [{ ServiceType: 'Gateway' }],
    ServiceRegion: region,
    AvailabilityZones: zonesOf(region),
    Owner: 'amazon',
    BaseEndpointDnsNames: [name.split('.').reverse().join('.')],
    VpcEndpointPolicySupported: false,
    AcceptanceRequired: false,
    ManagesVpcEndpoints: false,
    SupportedIpAddressTypes: ['ipv4'],
    Tags: [],
  }
}

const none = () => []

const serviceFilters: ListedRules<ServiceDetail> = {
  owner: (detail) => detail.Owner,
  'service-name': (detail) => detail.ServiceName,
  'service-region': (detail) => detail.ServiceRegion,
  'service-type': (detail) => detail.ServiceType!.map((type) => type.ServiceType),
  'supported-ip-address-types': (detail) => detail.SupportedIpAddressTypes,
  'tag-key': none,
  'tag:*': none,
}
