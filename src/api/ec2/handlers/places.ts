/** Regions, zones, and what an account has there. */
import type { AccountAttribute, AvailabilityZone, Region } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { regionNames, zoneIdOf, zonesOf } from '../../../lib/regions.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { askedFor, filtered, type ListedRules } from '../shared/listed.ts'
import { scopeOf } from '../shared/scope.ts'

export const placeHandlers = {
  async DescribeRegions(input) {
    // No region has to be opted in to: `AllRegions` adds none.
    const filters = readFilters(input.Filters)
    const unknown = (name: string) =>
      new KilnError('InvalidParameterValue', `Invalid value '${name}' for RegionName: there is no such region.`)
    const regions = askedFor(
      Object.keys(regionNames).map(ec2Region),
      (region) => region.RegionName!,
      input.RegionNames,
      unknown,
    )
    return { Regions: filtered(regions, regionFilters, filters) }
  },

  async DescribeAvailabilityZones(input, { region }) {
    const filters = readFilters(input.Filters)
    const unknown = (zone: string) => new KilnError('InvalidParameterValue', `Invalid availability zone: [${zone}]`)
    const zones = zonesOf(region).map((zone) => ec2Zone(zone, region))
    const named = askedFor(zones, (zone) => zone.ZoneName!, input.ZoneNames, unknown)
    const asked = askedFor(named, (zone) => zone.ZoneId!, input.ZoneIds, unknown)
    return { AvailabilityZones: filtered(asked, zoneFilters, filters) }
  },

  async DescribeAccountAttributes(input, context) {
    const vpc = await context.cloud.vpcs.openDefault(scopeOf(context))
    const attributes = Object.entries(accountAttributes(vpc.id)).map(([name, value]) => ec2Attribute(name, value))
    const unknown = (name: string) =>
      new KilnError('InvalidParameterValue', `Invalid value '${name}' for AttributeName.`)
    const nameOf = (attribute: AccountAttribute) => attribute.AttributeName!
    return { AccountAttributes: askedFor(attributes, nameOf, input.AttributeNames, unknown) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcs'>>

function ec2Region(name: string): Region {
  return { RegionName: name, Endpoint: `ec2.${name}.amazonaws.com`, OptInStatus: 'opt-in-not-required' }
}

const regionFilters: ListedRules<Region> = {
  'region-name': (region) => region.RegionName,
  endpoint: (region) => region.Endpoint,
  'opt-in-status': (region) => region.OptInStatus,
}

function ec2Zone(zone: string, region: string): AvailabilityZone {
  const zoneId = zoneIdOf(zone)
  return {
    ZoneName: zone,
    ZoneId: zoneId,
    ZoneType: 'availability-zone',
    State: 'available',
    OptInStatus: 'opt-in-not-required',
    RegionName: region,
    GroupName: `${region}-zg-1`,
    GroupLongName: `${regionNames[region]} 1`,
    NetworkBorderGroup: region,
    Messages: [],
  }
}

const zoneFilters: ListedRules<AvailabilityZone> = {
  'group-name': (zone) => zone.GroupName,
  'group-long-name': (zone) => zone.GroupLongName,
  message: () => [],
  'opt-in-status': (zone) => zone.OptInStatus,
  'parent-zone-id': (zone) => zone.ParentZoneId,
  'parent-zone-name': (zone) => zone.ParentZoneName,
  'region-name': (zone) => zone.RegionName,
  state: (zone) => zone.State,
  'zone-id': (zone) => zone.ZoneId,
  'zone-name': (zone) => zone.ZoneName,
  'zone-type': (zone) => zone.ZoneType,
}

/** `max-instances` says nothing about real limits on EC2 either. Source: AccountAttribute in the EC2 API reference. */
function accountAttributes(defaultVpcId: string): Readonly<Record<string, string>> {
  return {
    'supported-platforms': 'VPC',
    'default-vpc': defaultVpcId,
    'max-instances': String(limits.instancesPerRequest),
    'vpc-max-security-groups-per-interface': String(limits.securityGroupsPerInstance),
    'max-elastic-ips': '0',
    'vpc-max-elastic-ips': '0',
  }
}

/** The model names only the first two attributes; EC2 answers more. */
function ec2Attribute(name: string, value: string): AccountAttribute {
  return { AttributeName: name, AttributeValues: [{ AttributeValue: value }] }
}
