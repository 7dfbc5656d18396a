/**
 * What spot instances cost. The price of a type is the price sheet's, the same in every zone, and has not changed since the
 * day that the sheet gives. Source: DescribeSpotPriceHistory in the EC2 API reference.
 */
import type { DescribeSpotPriceHistoryRequest, SpotPrice } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import { KilnError } from '../../../lib/errors.ts'
import { zoneIdOf, zonesOf } from '../../../lib/regions.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { filtered, type ListedRules, pageOf } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'

export const spotPriceHandlers = {
  async DescribeSpotPriceHistory(input, context) {
    const page = readPage('DescribeSpotPriceHistory', input, context, { min: 1 })
    const filters = readFilters(input.Filters)
    const zones = zonesAsked(input, context.region)
    const types = input.InstanceTypes?.length ? new Set(input.InstanceTypes) : instanceTypes.keys()
    const prices = context.cloud.spotRequests.prices(context.region, types).flatMap(({ instanceType, price, asOf }) =>
      zones.map(
        (zone): SpotPrice => ({
          InstanceType: instanceType as SpotPrice['InstanceType'],
          ...{ AvailabilityZone: zone, AvailabilityZoneId: zoneIdOf(zone) },
          ...{ ProductDescription: 'Linux/UNIX', SpotPrice: price, Timestamp: new Date(asOf) },
        }),
      ),
    )
    const { items, next } = pageOf(
      filtered(
        prices.filter((price) => isAsked(price, input)),
        priceFilters,
        filters,
      ),
      (price) => `${price.InstanceType} ${price.AvailabilityZone}`,
      page,
    )
    return { SpotPriceHistory: items, NextToken: nextTokenOf('DescribeSpotPriceHistory', context, next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'spotRequests'>>

function zonesAsked(
  { AvailabilityZone: zone, AvailabilityZoneId: id }: DescribeSpotPriceHistoryRequest,
  region: string,
) {
  if (zone && id) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter AvailabilityZone may not be used in combination with AvailabilityZoneId',
    )
  }
  const zones = zonesOf(region)
  const found = zones.filter((each) => (zone ? each === zone : !id || zoneIdOf(each) === id))
  if (found.length > 0) return found
  throw new KilnError('InvalidParameterValue', `Invalid availability zone: [${zone ?? id}]`)
}

/** The price that held when the time began is told as well, as EC2 does. */
function isAsked(price: SpotPrice, { EndTime: end, ProductDescriptions: products }: DescribeSpotPriceHistoryRequest) {
  if (end && price.Timestamp! > end) return false
  // For instances in a VPC there was once another name.
  return !products?.length || products.some((name) => name.replace(' (Amazon VPC)', '') === price.ProductDescription)
}

const priceFilters: ListedRules<SpotPrice> = {
  'availability-zone': (price) => price.AvailabilityZone,
  'availability-zone-id': (price) => price.AvailabilityZoneId,
  'instance-type': (price) => price.InstanceType,
  'product-description': (price) => price.ProductDescription,
  'spot-price': (price) => price.SpotPrice,
  timestamp: (price) => price.Timestamp?.toISOString(),
}
