/** Permissions as requests word them, brought to the terms of single rules. */
import { KilnError } from '../../lib/errors.ts'
import type { SecurityGroup } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import { findGroup, groupNotFound, groupNotFoundIn } from './group-lookup.ts'
import { checkedRuleDescription } from './group-texts.ts'
import { visibleList } from './prefix-lists.ts'
import {
  canonicalIpv4,
  canonicalIpv6,
  malformedCidr,
  type RulePeer,
  type RuleTerms,
  readTraffic,
  type TrafficRequest,
} from './rule-terms.ts'

/** The other side of a permission. A group is named by its id, or by its name in the VPC of the group that refers to it. */
export type PermissionPeer = { description?: string } & (
  | { cidrIpv4: string }
  | { cidrIpv6: string }
  | { groupId: string; accountId?: string }
  | { groupName: string; accountId?: string }
  | { prefixListId: string }
)

/** Traffic with any number of peers: each pair is a rule of its own. */
export interface Permission extends TrafficRequest {
  peers: readonly PermissionPeer[]
}

/** What each pair of traffic and peer says; the groups that are referred to exist. */
export async function resolveTerms(
  tx: Repositories,
  scope: Scope,
  group: SecurityGroup,
  permissions: readonly Permission[],
): Promise<RuleTerms[]> {
  const terms: RuleTerms[] = []
  for (const permission of permissions) {
    const traffic = readTraffic(permission)
    for (const peer of permission.peers) {
      const description = checkedRuleDescription(peer.description)
      terms.push({ ...traffic, ...(await resolvePeer(tx, scope, group, peer)), description })
    }
  }
  return terms
}

async function resolvePeer(
  tx: Repositories,
  scope: Scope,
  group: SecurityGroup,
  peer: PermissionPeer,
): Promise<RulePeer> {
  const none = { cidrIpv4: null, cidrIpv6: null, referencedGroupId: null, prefixListId: null }
  if ('cidrIpv4' in peer) return { ...none, cidrIpv4: canonicalIpv4(peer.cidrIpv4) }
  if ('cidrIpv6' in peer) return { ...none, cidrIpv6: canonicalIpv6(peer.cidrIpv6) }
  if ('prefixListId' in peer) return { ...none, prefixListId: (await visibleList(tx, scope, peer.prefixListId)).id }
  return { ...none, referencedGroupId: (await findPeerGroup(tx, scope, group, peer)).id }
}

async function findPeerGroup(
  tx: Repositories,
  scope: Scope,
  group: SecurityGroup,
  peer: ({ groupId: string } | { groupName: string }) & { accountId?: string },
): Promise<SecurityGroup> {
  const byId = 'groupId' in peer
  const foreign = peer.accountId !== undefined && peer.accountId !== scope.accountId
  if (foreign) throw groupNotFound(byId ? peer.groupId : peer.groupName)
  if (!byId) {
    const found = await tx.networks.securityGroupByName(group.vpcId, peer.groupName)
    if (!found) throw groupNotFoundIn(group.vpcId, peer.groupName)
    return found
  }
  const found = await findGroup(tx, scope, { id: peer.groupId })
  if (found.vpcId !== group.vpcId) {
    throw new KilnError('InvalidGroup.NotFound', 'You have specified two resources that belong to different networks.')
  }
  return found
}

/** Throws InvalidParameterValue for a CIDR block that is not in its canonical form. */
export function refuseHostBits(peer: PermissionPeer): void {
  if ('cidrIpv4' in peer && canonicalIpv4(peer.cidrIpv4) !== peer.cidrIpv4) throw malformedCidr(peer.cidrIpv4)
  if ('cidrIpv6' in peer && canonicalIpv6(peer.cidrIpv6) !== peer.cidrIpv6.toLowerCase()) {
    throw malformedCidr(peer.cidrIpv6)
  }
}
