import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { SecurityGroup, SecurityGroupRule, Vpc } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { findGroup, type GroupRef, groupNotFound, groupNotFoundIn, groupsLock } from './group-lookup.ts'
import { checkedGroupName, checkGroupDescription } from './group-texts.ts'
import { removeRules, SecurityGroupRules } from './security-group-rules.ts'

export interface SecurityGroupView extends SecurityGroup {
  rules: SecurityGroupRule[]
}

export class SecurityGroups {
  readonly rules: SecurityGroupRules
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
    this.rules = new SecurityGroupRules(deps)
  }

  /**
   * A new group in the given VPC, or in the default one, that lets everything out and nothing in.
   * Throws InvalidGroup.Duplicate, InvalidVpcID.NotFound, SecurityGroupLimitExceeded.
   */
  async create(
    scope: Scope,
    request: { name: string; description: string; vpcId?: string; tags: readonly Tag[] },
  ): Promise<SecurityGroup> {
    const { state, locks, random, clock } = this.#deps
    const name = checkedGroupName(request.name)
    checkGroupDescription(request.description)
    const vpc = await this.#vpcOf(scope, request.vpcId)
    const createdAt = clock.now()
    const group: SecurityGroup = {
      ...scope,
      id: newId('securityGroup', random),
      vpcId: vpc.id,
      name,
      description: request.description,
      createdAt,
    }
    await locks.hold(groupsLock(vpc.id), () =>
      state.transaction(async (tx) => {
        await refuseTakenName(tx, group)
        if ((await tx.networks.countSecurityGroups(vpc.id)) >= limits.securityGroupsPerVpc) {
          throw new KilnError(
            'SecurityGroupLimitExceeded',
            `The maximum number of security groups for VPC '${vpc.id}' has been reached: ${limits.securityGroupsPerVpc}.`,
          )
        }
        await tx.networks.insertSecurityGroup(group)
        await tx.networks.insertRules([
          {
            ...scope,
            id: newId('securityGroupRule', random),
            groupId: group.id,
            isEgress: 1,
            protocol: '-1',
            fromPort: -1,
            toPort: -1,
            cidrIpv4: '0.0.0.0/0',
            cidrIpv6: null,
            referencedGroupId: null,
            prefixListId: null,
            description: null,
            createdAt,
          },
        ])
        await tx.tags.put({ id: group.id, type: 'security-group', ...scope }, request.tags)
      }),
    )
    return group
  }

  async #vpcOf(scope: Scope, vpcId: string | undefined): Promise<Vpc> {
    const { networks } = this.#deps.state
    const vpc = await (vpcId ? networks.vpc(vpcId) : networks.defaultVpc(scope.accountId, scope.region))
    if (vpc && vpc.accountId === scope.accountId && vpc.region === scope.region) return vpc
    if (vpcId) throw new KilnError('InvalidVpcID.NotFound', `The vpc ID '${vpcId}' does not exist`)
    throw new KilnError('VPCIdNotSpecified', 'No default VPC for this user')
  }

  /** By ids and by names in the default VPC, or all. Throws InvalidGroup.NotFound for one that does not exist. */
  async list(
    scope: Scope,
    request: Omit<ListRequest, 'accountId'> & { names?: readonly string[] },
  ): Promise<Page<SecurityGroupView>> {
    const { networks } = this.#deps.state
    const { names, ...rest } = request
    const ids = await this.#existing(scope, request.ids, names)
    const page = await networks.listSecurityGroups(scope.region, { ...rest, ids, accountId: scope.accountId })
    const rules = await networks.rulesOf(page.items.map((group) => group.id))
    const view = (group: SecurityGroup) => ({ ...group, rules: rules.filter((rule) => rule.groupId === group.id) })
    return { ...page, items: page.items.map(view) }
  }

  async #existing(
    scope: Scope,
    ids: readonly string[] | undefined,
    names: readonly string[] | undefined,
  ): Promise<string[] | undefined> {
    if (!ids && !names) return undefined
    const { networks } = this.#deps.state
    const owned = (await networks.securityGroups(ids ?? [])).filter(
      (group) => group.accountId === scope.accountId && group.region === scope.region,
    )
    const missingId = ids?.find((id) => !owned.some((group) => group.id === id))
    if (missingId) throw groupNotFound(missingId)
    const named = names ? await this.#named(scope, names) : []
    return [...owned, ...named].map((group) => group.id)
  }

  async #named(scope: Scope, names: readonly string[]): Promise<SecurityGroup[]> {
    const { networks } = this.#deps.state
    const vpc = await this.#vpcOf(scope, undefined)
    const inVpc = [{ name: 'vpc-id', values: [vpc.id] }]
    const { items } = await networks.listSecurityGroups(scope.region, {
      accountId: scope.accountId,
      names,
      filters: inVpc,
    })
    const missing = names.find((name) => !items.some((group) => group.name === name))
    if (missing) throw groupNotFoundIn(vpc.id, missing)
    return items
  }

  /** Throws CannotDelete for the default group, DependencyViolation for one that is in use or referred to. */
  async delete(scope: Scope, ref: GroupRef): Promise<SecurityGroup> {
    const { state, locks } = this.#deps
    const { vpcId } = await findGroup(state, scope, ref)
    return locks.hold(groupsLock(vpcId), () =>
      state.transaction(async (tx) => {
        const group = await findGroup(tx, scope, ref)
        if (group.name === 'default') {
          throw new KilnError(
            'CannotDelete',
            `the specified group: "${group.id}" name: "${group.name}" cannot be deleted by a user`,
          )
        }
        const referring = await tx.networks.groupsReferring(group.id)
        if (referring.length > 0 || (await tx.networks.isGroupInUse(group.id))) {
          throw new KilnError('DependencyViolation', `resource ${group.id} has a dependent object`)
        }
        const rules = await tx.networks.rulesOf([group.id])
        await removeRules(
          tx,
          rules.map((rule) => rule.id),
        )
        await tx.networks.deleteSecurityGroup(group.id)
        await tx.tags.removeAll(group.id)
        return group
      }),
    )
  }
}

async function refuseTakenName(tx: Repositories, { vpcId, name }: SecurityGroup): Promise<void> {
  if (!(await tx.networks.securityGroupByName(vpcId, name))) return
  throw new KilnError('InvalidGroup.Duplicate', `The security group '${name}' already exists for VPC '${vpcId}'`)
}
