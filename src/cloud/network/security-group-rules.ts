/** Rules of security groups. What changes traffic is on the host before the request is answered. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { SecurityGroup, SecurityGroupRule } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { findGroup, type GroupRef, groupsLock } from './group-lookup.ts'
import { checkedRuleDescription } from './group-texts.ts'
import { type Permission, refuseHostBits, resolveTerms } from './permissions.ts'
import { applyVpc } from './plan.ts'
import { refuseTooMany } from './rule-counts.ts'
import { type RuleTerms, termsInWords, termsKey } from './rule-terms.ts'

export type Direction = 'ingress' | 'egress'

export interface RuleView extends SecurityGroupRule {
  /** The VPC of the rule's group, and of the group that it refers to. */
  vpcId: string
}

export class SecurityGroupRules {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Adds rules: all of them, or none. Throws InvalidPermission.Duplicate, RulesPerSecurityGroupLimitExceeded. */
  authorize(
    scope: Scope,
    ref: GroupRef,
    request: { direction: Direction; permissions: readonly Permission[]; tags: readonly Tag[] },
  ): Promise<RuleView[]> {
    return this.#changeTraffic(scope, ref, async (tx, group) => {
      const { direction, tags } = request
      const terms = await resolveTerms(tx, scope, group, request.permissions)
      refuseRepeated(terms)
      const present = await rulesOf(tx, group, direction)
      refuseDuplicates(terms, present)
      await refuseTooMany(tx, [...present, ...terms])
      const added = terms.map((one) => this.#newRow(scope, group, direction, one))
      await tx.networks.insertRules(added)
      for (const { id } of added) await tx.tags.put({ id, type: 'security-group-rule', ...scope }, tags)
      return added.map((row) => ({ ...row, vpcId: group.vpcId }))
    })
  }

  #newRow(scope: Scope, group: SecurityGroup, direction: Direction, terms: RuleTerms): SecurityGroupRule {
    const { random, clock } = this.#deps
    const id = newId('securityGroupRule', random)
    return { ...scope, ...terms, id, groupId: group.id, isEgress: flagOf(direction), createdAt: clock.now() }
  }

  /** Removes rules: all that are asked for, or none. Throws InvalidPermission.NotFound, InvalidSecurityGroupRuleId.NotFound. */
  revoke(
    scope: Scope,
    ref: GroupRef,
    request: { direction: Direction } & ({ permissions: readonly Permission[] } | { ruleIds: readonly string[] }),
  ): Promise<SecurityGroupRule[]> {
    return this.#changeTraffic(scope, ref, async (tx, group) => {
      const present = await rulesOf(tx, group, request.direction)
      const found =
        'ruleIds' in request
          ? request.ruleIds.map((id) => ruleWithId(present, id))
          : (await resolveTerms(tx, scope, group, request.permissions)).map((terms) => ruleWithTerms(present, terms))
      const revoked = [...new Set(found)]
      await removeRules(
        tx,
        revoked.map((rule) => rule.id),
      )
      return revoked
    })
  }

  /**
   * Replaces what rules say, each by one permission with one peer. Both directions may be among them. Here EC2 takes no
   * CIDR block with host bits.
   */
  async modify(
    scope: Scope,
    ref: GroupRef,
    updates: readonly { ruleId: string; permission: Permission }[],
  ): Promise<void> {
    await this.#changeTraffic(scope, ref, async (tx, group) => {
      const rules = new Map((await tx.networks.rulesOf([group.id])).map((rule) => [rule.id, rule]))
      for (const { ruleId, permission } of updates) {
        const rule = rules.get(ruleId)
        if (!rule) throw ruleNotFound(ruleId)
        for (const peer of permission.peers) refuseHostBits(peer)
        const [terms] = await resolveTerms(tx, scope, group, [permission])
        rules.set(ruleId, { ...rule, ...terms })
        await tx.networks.updateRule(ruleId, terms!)
      }
      // The rules as they are now, all together: two updates may have exchanged what two rules say.
      for (const direction of ['ingress', 'egress'] as const) {
        const all = [...rules.values()].filter((rule) => rule.isEgress === flagOf(direction))
        for (const { ruleId } of updates) {
          const changed = all.filter((rule) => rule.id === ruleId)
          refuseDuplicates(
            changed,
            all.filter((rule) => rule.id !== ruleId),
          )
        }
        await refuseTooMany(tx, all)
      }
    })
  }

  /** Replaces descriptions, of rules by id or of those that permissions with new descriptions name. Traffic stays as it is. */
  async describe(
    scope: Scope,
    ref: GroupRef,
    request: { direction: Direction } & (
      | { permissions: readonly Permission[] }
      | { descriptions: readonly { ruleId: string; description: string | undefined }[] }
    ),
  ): Promise<void> {
    await this.#change(scope, ref, async (tx, group) => {
      const present = await rulesOf(tx, group, request.direction)
      if ('descriptions' in request) {
        for (const { ruleId, description } of request.descriptions) {
          const { id } = ruleWithId(present, ruleId)
          await tx.networks.updateRule(id, { description: checkedRuleDescription(description) })
        }
        return
      }
      for (const terms of await resolveTerms(tx, scope, group, request.permissions)) {
        const { id } = ruleWithTerms(present, terms)
        await tx.networks.updateRule(id, { description: terms.description })
      }
    })
  }

  /** Throws InvalidSecurityGroupRuleId.NotFound for an id that the account has not in this region. */
  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<RuleView>> {
    const { networks } = this.#deps.state
    const { accountId } = scope
    if (request.ids) {
      const { items } = await networks.listRules(scope.region, { accountId, ids: request.ids })
      for (const id of request.ids) ruleWithId(items, id)
    }
    const page = await networks.listRules(scope.region, { ...request, accountId })
    const groups = await networks.securityGroups([...new Set(page.items.map((rule) => rule.groupId))])
    const vpcOf = new Map(groups.map((group) => [group.id, group.vpcId]))
    return { ...page, items: page.items.map((rule) => ({ ...rule, vpcId: vpcOf.get(rule.groupId)! })) }
  }

  async #changeTraffic<T>(
    scope: Scope,
    ref: GroupRef,
    work: (tx: Repositories, group: SecurityGroup) => Promise<T>,
  ): Promise<T> {
    const { result, vpcId } = await this.#change(scope, ref, work)
    const { log } = this.#deps
    await applyVpc(this.#deps, vpcId).catch((error) =>
      log.warn({ err: error, vpc: vpcId }, 'the new rules are left to the reconciler'),
    )
    return result
  }

  async #change<T>(
    scope: Scope,
    ref: GroupRef,
    work: (tx: Repositories, group: SecurityGroup) => Promise<T>,
  ): Promise<{ result: T; vpcId: string }> {
    const { state, locks } = this.#deps
    const { vpcId } = await findGroup(state, scope, ref)
    const result = await locks.hold(groupsLock(vpcId), () =>
      state.transaction(async (tx) => work(tx, await findGroup(tx, scope, ref))),
    )
    return { result, vpcId }
  }
}

/** Removes rules with their tags. */
export async function removeRules(tx: Repositories, ruleIds: readonly string[]): Promise<void> {
  await tx.networks.deleteRules(ruleIds)
  for (const id of ruleIds) await tx.tags.removeAll(id)
}

const flagOf = (direction: Direction) => (direction === 'egress' ? 1 : 0)

async function rulesOf(tx: Repositories, group: SecurityGroup, direction: Direction): Promise<SecurityGroupRule[]> {
  const rules = await tx.networks.rulesOf([group.id])
  return rules.filter((rule) => rule.isEgress === flagOf(direction))
}

function refuseRepeated(terms: readonly RuleTerms[]): void {
  if (new Set(terms.map(termsKey)).size === terms.length) return
  throw new KilnError('InvalidParameterValue', 'The same permission must not appear multiple times')
}

function refuseDuplicates(terms: readonly RuleTerms[], present: readonly RuleTerms[]): void {
  const keys = new Set(present.map(termsKey))
  const duplicate = terms.find((one) => keys.has(termsKey(one)))
  if (!duplicate) return
  throw new KilnError('InvalidPermission.Duplicate', `the specified rule "${termsInWords(duplicate)}" already exists`)
}

function ruleWithId(rules: readonly SecurityGroupRule[], id: string): SecurityGroupRule {
  const rule = rules.find((candidate) => candidate.id === id)
  if (rule) return rule
  throw ruleNotFound(id)
}

const ruleNotFound = (id: string) =>
  new KilnError('InvalidSecurityGroupRuleId.NotFound', `The security group rule ID '${id}' does not exist`)

function ruleWithTerms(rules: readonly SecurityGroupRule[], terms: RuleTerms): SecurityGroupRule {
  const key = termsKey(terms)
  const rule = rules.find((candidate) => termsKey(candidate) === key)
  if (rule) return rule
  throw new KilnError('InvalidPermission.NotFound', 'The specified rule does not exist in this security group.')
}
