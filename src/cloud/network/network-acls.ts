/**
 * Network ACLs: what may cross the border of a subnet, either way, whoever asked for it. Source: "Control subnet traffic
 * with network access control lists" in the VPC user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Page } from '../../state/listing.ts'
import type { NetworkAcl, NetworkAclAssociation, NetworkAclEntry } from '../../state/network-acls.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { checkRuleNumber, type EntryRequest, lastRuleNumber, readEntry } from './network-acl-entries.ts'
import { associationNotFound, dependency, networkAclNotFound, vpcNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'

export interface NetworkAclView extends NetworkAcl {
  entries: NetworkAclEntry[]
  associations: NetworkAclAssociation[]
}

interface EntryName {
  isEgress: boolean
  ruleNumber: number
}

export class NetworkAcls {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** One that lets nothing through. Throws InvalidVpcID.NotFound, NetworkAclLimitExceeded. */
  async create(
    scope: Scope,
    request: { vpcId: string; tags: readonly Tag[]; clientToken: ClientToken | undefined },
  ): Promise<NetworkAclView> {
    const { vpcId, tags, clientToken } = request
    const [id] = await createOnce(this.#deps, scope, 'CreateNetworkAcl', clientToken, async (tx) => {
      owned(await tx.networks.vpc(vpcId), scope, () => vpcNotFound(vpcId))
      if ((await tx.networkAcls.ofVpc(vpcId)).length >= limits.networkAclsPerVpc) {
        throw new KilnError('NetworkAclLimitExceeded', 'The maximum number of network ACLs has been reached.')
      }
      const acl = await insertAcl(this.#deps, tx, scope, { vpcId, isDefault: 0 })
      await tx.tags.put({ id: acl.id, type: 'network-acl', ...scope }, tags)
      return [acl.id]
    })
    return (await this.list(scope, { ids: [id!] })).items[0]!
  }

  /** Throws InvalidNetworkAclID.NotFound. */
  async list(scope: Scope, request: ListOf): Promise<Page<NetworkAclView>> {
    const { networkAcls } = this.#deps.state
    const list = (what: ListOf) => networkAcls.list(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(list, request, networkAclNotFound)
    const ids = page.items.map((row) => row.id)
    const entries = Map.groupBy(await networkAcls.entriesOf(ids), (entry) => entry.networkAclId)
    const associations = Map.groupBy(await networkAcls.associationsOf(ids), (one) => one.networkAclId)
    const view = (row: NetworkAcl): NetworkAclView => ({
      ...row,
      entries: entries.get(row.id) ?? [],
      associations: associations.get(row.id) ?? [],
    })
    return { ...page, items: page.items.map(view) }
  }

  /** Throws NetworkAclEntryAlreadyExists, NetworkAclEntryLimitExceeded. */
  async addEntry(scope: Scope, id: string, request: EntryRequest): Promise<void> {
    const entry = readEntry(request)
    await this.#change(scope, id, async (tx) => {
      const present = (await tx.networkAcls.entriesOf([id])).filter((one) => one.isEgress === entry.isEgress)
      if (present.some((one) => one.ruleNumber === entry.ruleNumber)) {
        throw new KilnError(
          'NetworkAclEntryAlreadyExists',
          `The network acl entry identified by ${entry.ruleNumber} already exists.`,
        )
      }
      // The last one, which all have, does not count.
      if (present.length - 1 >= limits.entriesPerNetworkAcl) {
        throw new KilnError(
          'NetworkAclEntryLimitExceeded',
          'The maximum number of network acl entries has been reached.',
        )
      }
      await tx.networkAcls.insertEntries([{ ...entry, networkAclId: id }])
    })
  }

  /** Throws InvalidNetworkAclEntry.NotFound. */
  async replaceEntry(scope: Scope, id: string, request: EntryRequest): Promise<void> {
    const entry = readEntry(request)
    await this.#change(scope, id, async (tx) => {
      await removeEntry(tx, id, request)
      await tx.networkAcls.insertEntries([{ ...entry, networkAclId: id }])
    })
  }

  /** Throws InvalidNetworkAclEntry.NotFound. */
  async removeEntry(scope: Scope, id: string, name: EntryName): Promise<void> {
    checkRuleNumber(name.ruleNumber)
    await this.#change(scope, id, (tx) => removeEntry(tx, id, name))
  }

  /** The id of the new association of the subnet. Throws InvalidAssociationID.NotFound, InvalidParameterValue. */
  async replaceAssociation(scope: Scope, associationId: string, id: string): Promise<string> {
    const { state, random } = this.#deps
    const newAssociationId = newId('networkAclAssociation', random)
    const vpcId = await state.transaction(async (tx) => {
      const acl = owned(await tx.networkAcls.get(id), scope, () => networkAclNotFound(id))
      const association = await tx.networkAcls.association(associationId)
      const former = association && (await tx.networkAcls.get(association.networkAclId))
      owned(former, scope, () => associationNotFound(associationId))
      const { subnetId, vpcId } = association!
      if (acl.vpcId !== vpcId) {
        throw new KilnError(
          'InvalidParameterValue',
          `Network ACL ${id} and association ${associationId} belong to different networks`,
        )
      }
      await tx.networkAcls.disassociateSubnet(subnetId)
      await tx.networkAcls.associate([{ id: newAssociationId, networkAclId: id, vpcId, subnetId }])
      return vpcId
    })
    await applyVpc(this.#deps, vpcId)
    return newAssociationId
  }

  /** Throws InvalidParameterValue for a default one, DependencyViolation while a subnet has it. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const acl = owned(await tx.networkAcls.get(id), scope, () => networkAclNotFound(id))
      if (acl.isDefault === 1) {
        throw new KilnError('InvalidParameterValue', `cannot delete default network ACL ${id} (NetworkAclId)`)
      }
      if ((await tx.networkAcls.associationsOf([id])).length > 0) throw dependency('networkAcl', id)
      await tx.networkAcls.remove(id)
      await tx.tags.removeAll(id)
    })
  }

  async #change(scope: Scope, id: string, change: (tx: Repositories) => Promise<void>): Promise<void> {
    const vpcId = await this.#deps.state.transaction(async (tx) => {
      const acl = owned(await tx.networkAcls.get(id), scope, () => networkAclNotFound(id))
      await change(tx)
      return acl.vpcId
    })
    await applyVpc(this.#deps, vpcId)
  }
}

async function removeEntry(tx: Repositories, networkAclId: string, { isEgress, ruleNumber }: EntryName): Promise<void> {
  if (await tx.networkAcls.removeEntry({ networkAclId, isEgress: isEgress ? 1 : 0, ruleNumber })) return
  throw new KilnError(
    'InvalidNetworkAclEntry.NotFound',
    `The network acl entry identified by ${ruleNumber} does not exist in ${networkAclId}.`,
  )
}

/** The one that the subnets of a new VPC begin with: it lets everything through. */
export async function insertDefaultAcl(deps: CloudDeps, tx: Repositories, scope: Scope, vpcId: string): Promise<void> {
  const { id: networkAclId } = await insertAcl(deps, tx, scope, { vpcId, isDefault: 1 })
  await tx.networkAcls.insertEntries(bothWays({ ...lastEntry, networkAclId, ruleNumber: 100, action: 'allow' }))
}

/** New subnets have the default ACL of their VPC. */
export async function associateDefaultAcl(
  { random }: CloudDeps,
  tx: Repositories,
  vpcId: string,
  subnetIds: readonly string[],
): Promise<void> {
  const acl = (await tx.networkAcls.ofVpc(vpcId)).find((one) => one.isDefault === 1)!
  const rows = subnetIds.map((subnetId) => {
    return { id: newId('networkAclAssociation', random), networkAclId: acl.id, vpcId, subnetId }
  })
  await tx.networkAcls.associate(rows)
}

const lastEntry: Omit<NetworkAclEntry, 'isEgress' | 'networkAclId'> = {
  ...{ ruleNumber: lastRuleNumber, protocol: '-1', action: 'deny', cidrIpv4: '0.0.0.0/0', cidrIpv6: null },
  ...{ fromPort: null, toPort: null, icmpType: null, icmpCode: null },
}

async function insertAcl(
  { random, clock }: CloudDeps,
  tx: Repositories,
  scope: Scope,
  about: Pick<NetworkAcl, 'vpcId' | 'isDefault'>,
): Promise<NetworkAcl> {
  const acl = { ...scope, ...about, id: newId('networkAcl', random), createdAt: clock.now() }
  await tx.networkAcls.insert(acl)
  await tx.networkAcls.insertEntries(bothWays({ ...lastEntry, networkAclId: acl.id }))
  return acl
}

const bothWays = (entry: Omit<NetworkAclEntry, 'isEgress'>): NetworkAclEntry[] => [
  { ...entry, isEgress: 0 },
  { ...entry, isEgress: 1 },
]
