/** Spot requests and prices. Source: their operations in the EC2 API reference. */
import type { RequestSpotInstancesRequest, SpotInstanceRequest } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { SpotRequest } from '../../../cloud/spot/spot-requests.ts'
import { KilnError } from '../../../lib/errors.ts'
import { zoneIdOf } from '../../../lib/regions.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readIds } from '../shared/ids.ts'
import { readLaunch } from '../shared/launch-request.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readSpecification, readSpotTerms } from '../shared/spot-terms.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'

type Rooms = Pick<Cloud, 'spotRequests' | 'tags'>

export const spotInstanceHandlers = {
  async RequestSpotInstances(input, context) {
    const launch = launchOf(input)
    const requests = await context.cloud.spotRequests.request(scopeOf(context), {
      count: input.InstanceCount ?? 1,
      launch: readLaunch(launch),
      terms: termsOf(input, launch),
      clientToken: readClientToken(input),
    })
    return { SpotInstanceRequests: await told(context, requests) }
  },

  async DescribeSpotInstanceRequests(input, context) {
    const ids = readIds('spotRequest', input.SpotInstanceRequestIds)
    const page = await context.cloud.spotRequests.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeSpotInstanceRequests', input, context, {
        ids: { parameter: 'SpotInstanceRequestIds', given: ids },
      }),
    })
    return {
      SpotInstanceRequests: await told(context, page.items),
      NextToken: nextTokenOf('DescribeSpotInstanceRequests', context, page.next),
    }
  },

  async CancelSpotInstanceRequests(input, context) {
    const ids = readIds('spotRequest', input.SpotInstanceRequestIds)
    if (!ids) throw new KilnError('MissingParameter', 'The request must contain the parameter SpotInstanceRequestId')
    const requests = await context.cloud.spotRequests.cancel(scopeOf(context), ids)
    return {
      CancelledSpotInstanceRequests: requests.map(({ id, state }) => ({
        SpotInstanceRequestId: id,
        // One that failed is over as one that was closed is; the list of words has no other.
        State: state === 'cancelled' ? 'cancelled' : 'closed',
      })),
    }
  },
} satisfies Ec2Handlers<Rooms>

type Launch = Parameters<typeof readLaunch>[0]

function launchOf({ LaunchSpecification: specification, ...input }: RequestSpotInstancesRequest): Launch {
  if (!specification)
    throw new KilnError('MissingParameter', 'The request must contain the parameter LaunchSpecification')
  refuseGiven({
    LaunchGroup: input.LaunchGroup,
    AvailabilityZoneGroup: input.AvailabilityZoneGroup,
    'LaunchSpecification.AddressingType': specification.AddressingType,
  })
  const { AddressingType: _, ...launch } = specification
  return { ...launch, MinCount: 1, MaxCount: 1 } as Launch
}

function termsOf(input: RequestSpotInstancesRequest, launch: Launch) {
  const { SpotPrice: MaxPrice, Type: SpotInstanceType, InstanceInterruptionBehavior } = input
  const { BlockDurationMinutes, ValidFrom, ValidUntil } = input
  const { 'spot-instances-request': tags } = readTagSpecifications(input.TagSpecifications, ['spot-instances-request'])
  const wish = { MaxPrice, SpotInstanceType, InstanceInterruptionBehavior, BlockDurationMinutes, ValidFrom, ValidUntil }
  return readSpotTerms(wish, 'SpotPrice', launch, tags)
}

async function told(context: RequestContext<Rooms>, rows: readonly SpotRequest[]): Promise<SpotInstanceRequest[]> {
  const tags = await context.cloud.tags.of(
    scopeOf(context),
    rows.map((row) => row.id),
  )
  return rows.map((row) => ({
    ...ec2Request(row),
    SpotPrice: context.cloud.spotRequests.maxPriceOf(row),
    Tags: ec2Tags(tags.get(row.id)),
  }))
}

function ec2Request(row: SpotRequest): SpotInstanceRequest {
  const time = (ms: number | null) => (ms === null ? undefined : new Date(ms))
  return {
    SpotInstanceRequestId: row.id,
    Type: row.type,
    State: row.state,
    Status: { Code: row.statusCode, Message: row.statusMessage, UpdateTime: new Date(row.statusAt) },
    Fault: row.state === 'failed' ? { Code: row.statusCode, Message: row.statusMessage } : undefined,
    InstanceId: row.instanceId ?? undefined,
    InstanceInterruptionBehavior: row.interruption,
    LaunchSpecification: readSpecification(row.specification),
    LaunchedAvailabilityZone: row.launchedZone ?? undefined,
    LaunchedAvailabilityZoneId: row.launchedZone === null ? undefined : zoneIdOf(row.launchedZone),
    ProductDescription: 'Linux/UNIX',
    CreateTime: new Date(row.createdAt),
    ValidFrom: time(row.validFrom),
    ValidUntil: time(row.validUntil),
  }
}
