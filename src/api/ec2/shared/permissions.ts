/** Permissions of security groups as requests bring them: `IpPermissions`, or the older flat parameters for one of them. */
import type { IpPermission, SecurityGroupRuleRequest, UserIdGroupPair } from '@aws-sdk/client-ec2'
import type { GroupRef } from '../../../cloud/network/group-lookup.ts'
import type { Permission, PermissionPeer } from '../../../cloud/network/permissions.ts'
import { KilnError } from '../../../lib/errors.ts'
import { readId } from './ids.ts'

export interface PermissionsInput {
  IpPermissions?: IpPermission[] | undefined
  IpProtocol?: string | undefined
  FromPort?: number | undefined
  ToPort?: number | undefined
  CidrIp?: string | undefined
  SourceSecurityGroupName?: string | undefined
  SourceSecurityGroupOwnerId?: string | undefined
}

const flatNames = [
  'IpProtocol',
  'FromPort',
  'ToPort',
  'CidrIp',
  'SourceSecurityGroupName',
  'SourceSecurityGroupOwnerId',
] as const

/** The first parameter that says a permission, if any does. */
export function givenPermission(input: PermissionsInput): string | undefined {
  return input.IpPermissions?.length ? 'IpPermissions' : flatNames.find((name) => input[name] !== undefined)
}

/** Throws `MissingParameter` or `InvalidParameterCombination`. */
export function readPermissions(input: PermissionsInput): Permission[] {
  const flat = flatNames.find((name) => input[name] !== undefined)
  if (!input.IpPermissions?.length) {
    if (!flat) throw missing('IpPermissions')
    return readFlat(input)
  }
  if (flat) throw notTogether(flat, 'IpPermissions')
  return input.IpPermissions.map((permission, index) => readPermission(permission, `IpPermissions.${index + 1}`))
}

function readPermission(permission: IpPermission, path: string): Permission {
  const { IpProtocol: protocol, FromPort: fromPort, ToPort: toPort } = permission
  if (!protocol) throw missing(`${path}.IpProtocol`)
  const peers: PermissionPeer[] = [
    ...(permission.IpRanges ?? []).map(({ CidrIp, Description }, index) => ({
      cidrIpv4: required(CidrIp, `${path}.IpRanges.${index + 1}.CidrIp`),
      description: Description,
    })),
    ...(permission.Ipv6Ranges ?? []).map(({ CidrIpv6, Description }, index) => ({
      cidrIpv6: required(CidrIpv6, `${path}.Ipv6Ranges.${index + 1}.CidrIpv6`),
      description: Description,
    })),
    ...(permission.UserIdGroupPairs ?? []).map((pair, index) => readPair(pair, `${path}.Groups.${index + 1}`)),
    ...(permission.PrefixListIds ?? []).map(({ PrefixListId, Description }, index) => ({
      prefixListId: readId('prefixList', required(PrefixListId, `${path}.PrefixListIds.${index + 1}.PrefixListId`)),
      description: Description,
    })),
  ]
  if (peers.length === 0) throw missing(`${path}.IpRanges, Ipv6Ranges, Groups or PrefixListIds`)
  return { protocol, fromPort, toPort, peers }
}

function readPair(pair: UserIdGroupPair, path: string): PermissionPeer {
  if (pair.VpcPeeringConnectionId) {
    throw new KilnError(
      'UnsupportedOperation',
      `The parameter ${path}.VpcPeeringConnectionId is not supported: Kiln has no VPC peering connections.`,
    )
  }
  const common = { accountId: pair.UserId || undefined, description: pair.Description }
  if (pair.GroupId) return { ...common, groupId: readId('securityGroup', pair.GroupId) }
  if (pair.GroupName) return { ...common, groupName: pair.GroupName }
  throw missing(`${path}.GroupId`)
}

/** A source group alone stands for all of TCP, UDP and ICMP. Source: AuthorizeSecurityGroupIngress in the EC2 API reference. */
function readFlat(input: PermissionsInput): Permission[] {
  const { IpProtocol: protocol, FromPort: fromPort, ToPort: toPort, CidrIp: cidrIpv4 } = input
  const { SourceSecurityGroupName: groupName, SourceSecurityGroupOwnerId: accountId } = input
  if (!groupName) {
    if (accountId) throw missing('SourceSecurityGroupName')
    return [
      {
        protocol: required(protocol, 'IpProtocol'),
        fromPort,
        toPort,
        peers: [{ cidrIpv4: required(cidrIpv4, 'CidrIp') }],
      },
    ]
  }
  const other = (['IpProtocol', 'FromPort', 'ToPort', 'CidrIp'] as const).find((name) => input[name] !== undefined)
  if (other) throw notTogether('SourceSecurityGroupName', other)
  const peers = [{ groupName, accountId }]
  return [
    { protocol: 'tcp', fromPort: 0, toPort: 65_535, peers },
    { protocol: 'udp', fromPort: 0, toPort: 65_535, peers },
    { protocol: 'icmp', fromPort: -1, toPort: -1, peers },
  ]
}

/** What one rule shall say from now on: a permission with exactly one peer. */
export function readRuleRequest(request: SecurityGroupRuleRequest | undefined, path: string): Permission {
  if (!request) throw missing(path)
  const { IpProtocol, FromPort: fromPort, ToPort: toPort, Description: description } = request
  const { CidrIpv4, CidrIpv6, PrefixListId, ReferencedGroupId } = request
  const peers: PermissionPeer[] = [
    ...(CidrIpv4 ? [{ cidrIpv4: CidrIpv4, description }] : []),
    ...(CidrIpv6 ? [{ cidrIpv6: CidrIpv6, description }] : []),
    ...(PrefixListId ? [{ prefixListId: readId('prefixList', PrefixListId), description }] : []),
    ...(ReferencedGroupId ? [{ groupId: readId('securityGroup', ReferencedGroupId), description }] : []),
  ]
  if (peers.length === 0) throw missing(`${path}.CidrIpv4, CidrIpv6, PrefixListId or ReferencedGroupId`)
  if (peers.length > 1) {
    throw new KilnError(
      'InvalidParameterCombination',
      `Only one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId can be given in ${path}`,
    )
  }
  return { protocol: required(IpProtocol, `${path}.IpProtocol`), fromPort, toPort, peers }
}

export function readGroupRef(input: { GroupId?: string | undefined; GroupName?: string | undefined }): GroupRef {
  const { GroupId: id, GroupName: name } = input
  if (id !== undefined && name !== undefined) throw notTogether('GroupName', 'GroupId')
  if (id !== undefined) return { id: readId('securityGroup', id) }
  if (name) return { name }
  throw missing('GroupName or GroupId')
}

export function notTogether(one: string, other: string): KilnError {
  return new KilnError(
    'InvalidParameterCombination',
    `The parameter ${one} may not be used in combination with ${other}`,
  )
}

export function missing(parameter: string): KilnError {
  return new KilnError('MissingParameter', `The request must contain the parameter ${parameter}`)
}

function required(value: string | undefined, parameter: string): string {
  if (!value) throw missing(parameter)
  return value
}
