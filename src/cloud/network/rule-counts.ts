/** How many rules a security group may have. Source: "Amazon VPC quotas". */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { PrefixList } from '../../state/prefix-lists.ts'
import type { Repositories } from '../../state/state.ts'
import type { RulePeer } from './rule-terms.ts'

/**
 * Of one group in one direction. The bound holds for IPv4 and IPv6 apart; a reference to a group counts for both, a prefix
 * list as often as it may have entries. `changed` is a list as it is about to be.
 */
export async function refuseTooMany(
  tx: Repositories,
  rules: readonly RulePeer[],
  changed?: Pick<PrefixList, 'id' | 'maxEntries' | 'addressFamily'>,
): Promise<void> {
  const named = rules.flatMap((rule) => rule.prefixListId ?? [])
  const lists = new Map((await tx.prefixLists.many([...new Set(named)])).map((list) => [list.id, list]))
  const sizeOf = (family: PrefixList['addressFamily']) =>
    named
      .map((id) => (changed?.id === id ? changed : lists.get(id)!))
      .reduce((sum, list) => sum + (list.addressFamily === family ? list.maxEntries : 0), 0)
  const groups = rules.filter((one) => one.referencedGroupId).length
  const ipv4 = groups + rules.filter((one) => one.cidrIpv4).length + sizeOf('IPv4')
  const ipv6 = groups + rules.filter((one) => one.cidrIpv6).length + sizeOf('IPv6')
  if (Math.max(ipv4, ipv6) <= limits.rulesPerSecurityGroup) return
  throw new KilnError(
    'RulesPerSecurityGroupLimitExceeded',
    `The maximum number of rules per security group has been reached: ${limits.rulesPerSecurityGroup}.`,
  )
}
