/**
 * DHCP options: the names and servers that guests of a VPC are told at their next lease. Source: "DHCP option sets in
 * Amazon VPC" in the VPC user guide.
 */

import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { DhcpOptions as DhcpOptionsRow } from '../../state/dhcp-options.ts'
import type { Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { privateDomain } from './addresses.ts'
import { amazonDns, checkConfiguration, type DhcpConfiguration } from './dhcp-configurations.ts'
import { dependency, dhcpOptionsNotFound, vpcNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'

export interface DhcpOptionsView extends DhcpOptionsRow {
  configurations: DhcpConfiguration[]
}

/** What a VPC without any set is said to have. */
export const noDhcpOptions = 'default'

export class DhcpOptions {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InvalidParameterValue, DhcpOptionsLimitExceeded. */
  async create(
    scope: Scope,
    request: { configurations: readonly DhcpConfiguration[]; tags: readonly Tag[] },
  ): Promise<DhcpOptionsView> {
    const configurations = request.configurations.map(checkConfiguration)
    const keys = configurations.map(({ key }) => key)
    const repeated = keys.find((key, index) => keys.indexOf(key) !== index)
    if (repeated) {
      throw new KilnError('InvalidParameterValue', `The DHCP option ${repeated} (DhcpConfiguration.Key) is given twice`)
    }
    return await this.#deps.state.transaction(async (tx) => {
      if ((await tx.dhcpOptions.count(scope.accountId, scope.region)) >= limits.dhcpOptionSets) {
        throw new KilnError('DhcpOptionsLimitExceeded', 'The maximum number of DHCP option sets has been reached.')
      }
      const row = await insertOptions(this.#deps, tx, scope, configurations, 0)
      await tx.tags.put({ id: row.id, type: 'dhcp-options', ...scope }, request.tags)
      return { ...row, configurations }
    })
  }

  /** Throws InvalidDhcpOptionID.NotFound. */
  async list(scope: Scope, request: ListOf): Promise<Page<DhcpOptionsView>> {
    const { dhcpOptions } = this.#deps.state
    const list = (what: ListOf) => dhcpOptions.list(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(list, request, dhcpOptionsNotFound)
    const configurations = await configurationsOf(this.#deps.state, page.items)
    return { ...page, items: page.items.map((row) => ({ ...row, configurations: configurations(row.id) })) }
  }

  /** `default` takes the VPC's set away. Throws InvalidDhcpOptionID.NotFound, InvalidVpcID.NotFound. */
  async associate(scope: Scope, id: string, vpcId: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      owned(await tx.networks.vpc(vpcId), scope, () => vpcNotFound(vpcId))
      if (id !== noDhcpOptions) owned(await tx.dhcpOptions.get(id), scope, () => dhcpOptionsNotFound(id))
      await tx.networks.updateVpc(vpcId, { dhcpOptionsId: id })
    })
    await applyVpc(this.#deps, vpcId)
  }

  /** Throws DependencyViolation while a VPC has it. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      owned(await tx.dhcpOptions.get(id), scope, () => dhcpOptionsNotFound(id))
      if ((await tx.networks.vpcsWithDhcpOptions(id)).length > 0) throw dependency('dhcpOptions', id)
      await tx.dhcpOptions.remove(id)
      await tx.tags.removeAll(id)
    })
  }
}

/** The set that new VPCs begin with, made now if the account has none in the region. */
export async function defaultDhcpOptions(deps: CloudDeps, tx: Repositories, scope: Scope): Promise<string> {
  const present = await tx.dhcpOptions.defaultOf(scope.accountId, scope.region)
  if (present) return present.id
  const configurations = [
    { key: 'domain-name', values: [privateDomain(scope.region)] },
    { key: 'domain-name-servers', values: [amazonDns] },
  ]
  return (await insertOptions(deps, tx, scope, configurations, 1)).id
}

/** By the id of their set. */
export async function configurationsOf(
  { dhcpOptions }: Repositories,
  sets: readonly { id: string }[],
): Promise<(id: string) => DhcpConfiguration[]> {
  const values = await dhcpOptions.valuesOf(sets.map((set) => set.id))
  return (id) =>
    [
      ...Map.groupBy(
        values.filter((value) => value.dhcpOptionsId === id),
        (value) => value.key,
      ),
    ].map(([key, rows]) => ({ key, values: rows.map((row) => row.value) }))
}

async function insertOptions(
  { random, clock }: CloudDeps,
  tx: Repositories,
  scope: Scope,
  configurations: readonly DhcpConfiguration[],
  isDefault: 0 | 1,
): Promise<DhcpOptionsRow> {
  const row = { ...scope, id: newId('dhcpOptions', random), isDefault, createdAt: clock.now() }
  const values = configurations.flatMap(({ key, values: all }) =>
    all.map((value, ordinal) => ({ key, ordinal, value })),
  )
  await tx.dhcpOptions.insert(row, values)
  return row
}
