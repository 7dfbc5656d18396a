import type { InstanceTypeInfo, InstanceTypeOffering, LocationType } from '@aws-sdk/client-ec2'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { zoneIdOf, zonesOf } from '../../../lib/regions.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { ec2InstanceType, instanceTypeFilters } from '../shared/instance-type-shapes.ts'
import { askedFor, filtered, type ListedRules, pageOf } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'

export const instanceTypeHandlers = {
  async DescribeInstanceTypes(input, context) {
    const names = input.InstanceTypes
    if (names && names.length > limits.instanceTypesPerRequest) {
      throw new KilnError(
        'InvalidParameterValue',
        `The parameter InstanceType has ${names.length} items; at most ${limits.instanceTypesPerRequest} are allowed.`,
      )
    }
    const filters = readFilters(input.Filters)
    const page = readPage('DescribeInstanceTypes', input, context, {
      max: limits.instanceTypesPerRequest,
      ids: { parameter: 'InstanceTypes', given: names },
    })
    const keyOf = (type: InstanceTypeInfo) => type.InstanceType!
    const types = askedFor([...instanceTypes.values()].map(ec2InstanceType), keyOf, names, (name) => {
      return new KilnError('InvalidInstanceType', `The following supplied instance types do not exist: [${name}]`)
    })
    const found = filtered(types, instanceTypeFilters, filters)
    const { items, next } = pageOf(found, keyOf, page)
    return { InstanceTypes: items, NextToken: nextTokenOf('DescribeInstanceTypes', context, next) }
  },

  async DescribeInstanceTypeOfferings(input, context) {
    const filters = readFilters(input.Filters)
    const page = readPage('DescribeInstanceTypeOfferings', input, context)
    const offerings = offeringsIn(context.region, input.LocationType ?? 'region')
    const found = filtered(offerings, offeringFilters, filters)
    const { items, next } = pageOf(found, (offering) => `${offering.InstanceType} ${offering.Location}`, page)
    return { InstanceTypeOfferings: items, NextToken: nextTokenOf('DescribeInstanceTypeOfferings', context, next) }
  },
} satisfies Ec2Handlers<unknown>

/** Every type is to be had everywhere. Kiln has no outposts. */
function offeringsIn(region: string, locationType: LocationType): InstanceTypeOffering[] {
  const locations: Record<LocationType, string[]> = {
    region: [region],
    'availability-zone': zonesOf(region),
    'availability-zone-id': zonesOf(region).map(zoneIdOf),
    outpost: [],
  }
  return [...instanceTypes.keys()].flatMap((name) =>
    locations[locationType].map((location) => ({
      InstanceType: name as InstanceTypeOffering['InstanceType'],
      LocationType: locationType,
      Location: location,
    })),
  )
}

const offeringFilters: ListedRules<InstanceTypeOffering> = {
  'instance-type': (offering) => offering.InstanceType,
  location: (offering) => offering.Location,
}
