import type { Address } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { AddressRef, ElasticAddressView } from '../../../cloud/network/elastic-addresses.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'

export const elasticAddressHandlers = {
  async AllocateAddress(input, context) {
    if (input.Domain !== undefined && input.Domain !== 'vpc') {
      throw new KilnError('UnsupportedOperation', 'EC2-Classic addresses (Domain=standard) are not to be had any more')
    }
    const { Address: address, PublicIpv4Pool: pool, CustomerOwnedIpv4Pool: customerPool, IpamPoolId: ipam } = input
    refuseGiven({ Address: address, CustomerOwnedIpv4Pool: customerPool, IpamPoolId: ipam })
    if (pool !== undefined && pool !== 'amazon') {
      throw new KilnError('InvalidPublicIpv4PoolID.NotFound', `The public IPv4 pool '${pool}' does not exist`)
    }
    const scope = scopeOf(context)
    const group = input.NetworkBorderGroup
    if (group !== undefined && group !== scope.region) {
      throw new KilnError('InvalidParameterValue', `NetworkBorderGroup ${group} is not in this region`)
    }
    const { 'elastic-ip': tags } = readTagSpecifications(input.TagSpecifications, ['elastic-ip'])
    const row = await context.cloud.elasticAddresses.allocate(scope, tags)
    return {
      ...{ PublicIp: row.publicIp, AllocationId: row.id, Domain: 'vpc' as const },
      ...{ PublicIpv4Pool: 'amazon', NetworkBorderGroup: row.region },
    }
  },

  async AssociateAddress(input, context) {
    const { InstanceId: instanceId, NetworkInterfaceId: networkInterfaceId } = input
    if ((instanceId === undefined) === (networkInterfaceId === undefined)) {
      throw new KilnError(
        instanceId === undefined ? 'MissingParameter' : 'InvalidParameterCombination',
        'Either InstanceId or NetworkInterfaceId must be given, and not both',
      )
    }
    const target =
      instanceId !== undefined
        ? { instanceId: readId('instance', instanceId) }
        : { networkInterfaceId: readId('networkInterface', networkInterfaceId!) }
    const how = { mayMove: input.AllowReassociation !== false, privateIp: input.PrivateIpAddress }
    const { elasticAddresses } = context.cloud
    return { AssociationId: await elasticAddresses.associate(scopeOf(context), addressRef(input), target, how) }
  },

  async DisassociateAddress(input, context) {
    const { AssociationId: associationId, PublicIp: publicIp } = input
    requireOne({ AssociationId: associationId, PublicIp: publicIp })
    const ref =
      associationId !== undefined
        ? { associationId: readId('elasticAssociation', associationId) }
        : { publicIp: publicIp! }
    await context.cloud.elasticAddresses.disassociate(scopeOf(context), ref)
    return {}
  },

  async ReleaseAddress(input, context) {
    await context.cloud.elasticAddresses.release(scopeOf(context), addressRef(input))
    return {}
  },

  async DescribeAddresses(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const rows = await cloud.elasticAddresses.list(scope, {
      ids: readIds('elasticAddress', input.AllocationIds),
      publicIps: input.PublicIps?.length ? input.PublicIps : undefined,
      filters: readFilters(input.Filters),
    })
    const tags = await cloud.tags.of(
      scope,
      rows.map((row) => row.id),
    )
    return { Addresses: rows.map((row) => ec2Address(row, tags.get(row.id))) }
  },

  /** Names that addresses resolve back to: nobody can set one here, so no address has one. */
  async DescribeAddressesAttribute(input, context) {
    const ids = readIds('elasticAddress', input.AllocationIds)
    await context.cloud.elasticAddresses.list(scopeOf(context), { ids })
    return { Addresses: [] }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'elasticAddresses' | 'tags'>>

function requireOne(given: Readonly<Record<string, string | undefined>>): void {
  const count = Object.values(given).filter((value) => value !== undefined).length
  if (count === 1) return
  const names = Object.keys(given).join(' or ')
  throw new KilnError(
    count === 0 ? 'MissingParameter' : 'InvalidParameterCombination',
    count === 0 ? `Either ${names} must be specified` : `You may specify ${names}, but not both in the same call`,
  )
}

function addressRef({
  AllocationId: id,
  PublicIp: publicIp,
}: {
  AllocationId?: string
  PublicIp?: string
}): AddressRef {
  requireOne({ AllocationId: id, PublicIp: publicIp })
  return id !== undefined ? { allocationId: readId('elasticAddress', id) } : { publicIp: publicIp! }
}

function ec2Address({ nic, ...row }: ElasticAddressView, tags: readonly Tag[] | undefined): Address {
  return {
    ...{ AllocationId: row.id, PublicIp: row.publicIp, Domain: 'vpc' },
    ...{ PublicIpv4Pool: 'amazon', NetworkBorderGroup: row.region },
    AssociationId: row.associationId ?? undefined,
    InstanceId: nic?.instanceId ?? '',
    NetworkInterfaceId: nic?.id,
    NetworkInterfaceOwnerId: nic?.accountId,
    PrivateIpAddress: nic?.privateIp,
    Tags: ec2Tags(tags),
  }
}
