/**
 * Managed prefix lists: blocks of addresses under one id, for rules and routes. Whatever names a list follows its newest
 * version. Source: "Consolidate and manage network CIDR blocks with managed prefix lists" in the VPC user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Page, PageRequest } from '../../state/listing.ts'
import { type PrefixList, type PrefixListEntry, prefixListsOfAll } from '../../state/prefix-lists.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { ensureAwsPrefixLists } from './aws-prefix-lists.ts'
import { dependency, prefixListNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'
import {
  type AddressFamily,
  checkMaxEntries,
  checkName,
  readBlock,
  readEntries,
  refuseTooManyEntries,
} from './prefix-list-entries.ts'
import { refuseTooMany } from './rule-counts.ts'

export interface PrefixListChange {
  currentVersion: number | undefined
  name: string | undefined
  maxEntries: number | undefined
  add: readonly PrefixListEntry[]
  remove: readonly string[]
}

export type PrefixListUser = Awaited<ReturnType<Repositories['prefixLists']['users']>>['items'][number]

export class PrefixLists {
  readonly #deps: CloudDeps
  /** Regions whose lists of AWS are there. */
  readonly #ready = new Set<string>()

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InvalidParameterValue, PrefixListMaxEntriesExceeded, ResourceLimitExceeded. */
  async create(
    scope: Scope,
    request: {
      name: string
      addressFamily: AddressFamily
      maxEntries: number
      entries: readonly PrefixListEntry[]
      tags: readonly Tag[]
      clientToken: ClientToken | undefined
    },
  ): Promise<PrefixList> {
    const { state, random, clock } = this.#deps
    const { name, addressFamily, maxEntries, tags } = request
    checkName(name)
    checkMaxEntries(maxEntries)
    const entries = readEntries(request.entries, addressFamily)
    refuseTooManyEntries(entries.length, maxEntries)
    const [id] = await createOnce(this.#deps, scope, 'CreateManagedPrefixList', request.clientToken, async (tx) => {
      if ((await tx.prefixLists.count(scope.accountId, scope.region)) >= limits.prefixLists) {
        throw new KilnError('ResourceLimitExceeded', 'The maximum number of prefix lists has been reached.')
      }
      const row: PrefixList = {
        ...{ ...scope, id: newId('prefixList', random), name, addressFamily, maxEntries, version: 1 },
        ...{ state: 'create-complete', createdAt: clock.now() },
      }
      await tx.prefixLists.insert(row, entries)
      await tx.tags.put({ id: row.id, type: 'prefix-list', ...scope }, tags)
      return [row.id]
    })
    return (await state.prefixLists.get(id!))!
  }

  /** The account's and those of AWS, or the latter alone. Throws InvalidPrefixListID.NotFound. */
  async list(scope: Scope, request: ListOf, { isOfAllOnly = false } = {}): Promise<Page<PrefixList>> {
    await this.#ensureAws(scope)
    const { prefixLists } = this.#deps.state
    const list = (what: ListOf) => prefixLists.list(scope.region, { ...what, accountId: scope.accountId, isOfAllOnly })
    return listExisting(list, request, prefixListNotFound)
  }

  /** The blocks of lists as they are now, by id. */
  cidrsOf(ids: readonly string[]): Promise<Map<string, string[]>> {
    return this.#deps.state.prefixLists.cidrsOf(ids)
  }

  /** Of the newest version unless one is given. Throws InvalidPrefixListID.NotFound, InvalidParameterValue. */
  async entries(
    scope: Scope,
    id: string,
    request: { version: number | undefined; page: PageRequest },
  ): Promise<Page<PrefixListEntry>> {
    await this.#ensureAws(scope)
    const list = await visibleList(this.#deps.state, scope, id)
    const version = request.version ?? list.version
    checkVersion(list, version, 'TargetVersion')
    return await this.#deps.state.prefixLists.entriesAt(id, version, request.page)
  }

  /** What names it. Throws InvalidPrefixListID.NotFound. */
  async users(scope: Scope, id: string, page: PageRequest): Promise<Page<PrefixListUser>> {
    await this.#ownedList(this.#deps.state, scope, id)
    return await this.#deps.state.prefixLists.users(id, page)
  }

  /** What names it follows at once. Throws PrefixListVersionMismatch, PrefixListMaxEntriesExceeded, InvalidParameterValue. */
  async modify(scope: Scope, id: string, change: PrefixListChange): Promise<PrefixList> {
    const { name, maxEntries } = change
    if (name !== undefined) checkName(name)
    if (maxEntries !== undefined) checkMaxEntries(maxEntries)
    const changesEntries = change.add.length > 0 || change.remove.length > 0
    if (changesEntries && maxEntries !== undefined) {
      throw new KilnError(
        'InvalidParameterCombination',
        'The parameter MaxEntries may not be used in combination with AddEntry or RemoveEntry',
      )
    }
    return await this.#change(scope, id, change.currentVersion, async (tx, list) => {
      if (maxEntries !== undefined) await resize(tx, list, maxEntries)
      if (changesEntries) await exchange(tx, list, change)
      const version = changesEntries ? list.version + 1 : list.version
      const patch = { ...(name !== undefined && { name }), ...(maxEntries !== undefined && { maxEntries }), version }
      await tx.prefixLists.update(id, { ...patch, state: 'modify-complete' })
    })
  }

  /** The entries of an earlier version become a new version. */
  async restore(scope: Scope, id: string, versions: { previous: number; current: number }): Promise<PrefixList> {
    return await this.#change(scope, id, versions.current, async (tx, list) => {
      checkVersion(list, versions.previous, 'PreviousVersion')
      const { items: former } = await tx.prefixLists.entriesAt(id, versions.previous)
      const { items: present } = await tx.prefixLists.entriesAt(id, list.version)
      refuseTooManyEntries(former.length, list.maxEntries)
      const version = list.version + 1
      await tx.prefixLists.endEntries(
        id,
        present.map((entry) => entry.cidr),
        version,
      )
      await tx.prefixLists.addEntries(id, former, version)
      await tx.prefixLists.update(id, { version, state: 'restore-complete' })
    })
  }

  /** As it was. Throws DependencyViolation while a rule or a route names it. */
  async delete(scope: Scope, id: string): Promise<PrefixList> {
    return await this.#deps.state.transaction(async (tx) => {
      const list = await this.#ownedList(tx, scope, id)
      if ((await tx.prefixLists.users(id)).items.length > 0) throw dependency('prefixList', id)
      await tx.prefixLists.remove(id)
      await tx.tags.removeAll(id)
      return list
    })
  }

  async #change(
    scope: Scope,
    id: string,
    currentVersion: number | undefined,
    change: (tx: Repositories, list: PrefixList) => Promise<void>,
  ): Promise<PrefixList> {
    const { list, vpcIds } = await this.#deps.state.transaction(async (tx) => {
      const present = await this.#ownedList(tx, scope, id)
      if (currentVersion !== undefined && currentVersion !== present.version) {
        throw new KilnError(
          'PrefixListVersionMismatch',
          `The prefix list has the version ${present.version}, and not ${currentVersion} (CurrentVersion).`,
        )
      }
      await change(tx, present)
      const users = (await tx.prefixLists.users(id)).items
      return { list: (await tx.prefixLists.get(id))!, vpcIds: new Set(users.map((user) => user.vpcId)) }
    })
    for (const vpcId of vpcIds) await applyVpc(this.#deps, vpcId)
    return list
  }

  async #ensureAws({ region }: Scope): Promise<void> {
    if (this.#ready.has(region)) return
    await ensureAwsPrefixLists(this.#deps, region)
    this.#ready.add(region)
  }

  async #ownedList(state: Repositories, scope: Scope, id: string): Promise<PrefixList> {
    return owned(await state.prefixLists.get(id), scope, () => prefixListNotFound(id))
  }
}

/** The account's own, or one of AWS in that region. Throws InvalidPrefixListID.NotFound. */
export async function visibleList(state: Repositories, scope: Scope, id: string): Promise<PrefixList> {
  const list = await state.prefixLists.get(id)
  if (list?.accountId === prefixListsOfAll && list.region === scope.region) return list
  return owned(list, scope, () => prefixListNotFound(id))
}

function checkVersion({ version: newest }: PrefixList, version: number, parameter: string): void {
  if (version >= 1 && version <= newest) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${version}) for parameter ${parameter} is invalid. The prefix list has the versions 1 to ${newest}.`,
  )
}

/** Groups count a list as as many rules as it may have entries. */
async function resize(tx: Repositories, list: PrefixList, maxEntries: number): Promise<void> {
  refuseTooManyEntries((await tx.prefixLists.entriesAt(list.id, list.version)).items.length, maxEntries)
  const groupIds = (await tx.prefixLists.users(list.id)).items.map(({ id }) => id).filter((id) => id.startsWith('sg-'))
  const rules = await tx.networks.rulesOf(groupIds)
  for (const group of Map.groupBy(rules, (rule) => `${rule.groupId} ${rule.isEgress}`).values()) {
    await refuseTooMany(tx, group, { ...list, maxEntries })
  }
}

async function exchange(tx: Repositories, list: PrefixList, change: PrefixListChange): Promise<void> {
  const { id, version, addressFamily } = list
  const add = readEntries(change.add, addressFamily)
  const remove = readEntries(
    change.remove.map((cidr) => ({ cidr: readBlock(cidr, addressFamily), description: null })),
    addressFamily,
  ).map((entry) => entry.cidr)
  const present = new Set((await tx.prefixLists.entriesAt(id, version)).items.map((entry) => entry.cidr))
  const both = add.find(({ cidr }) => remove.includes(cidr))
  if (both) throw wrongEntry(both.cidr, 'is both added and removed')
  const absent = remove.find((cidr) => !present.has(cidr))
  if (absent) throw wrongEntry(absent, 'is not in the list')
  const there = add.find(({ cidr }) => present.has(cidr))
  if (there) throw wrongEntry(there.cidr, 'is in the list already')
  refuseTooManyEntries(present.size + add.length - remove.length, list.maxEntries)
  await tx.prefixLists.endEntries(id, remove, version + 1)
  await tx.prefixLists.addEntries(id, add, version + 1)
}

const wrongEntry = (cidr: string, why: string) =>
  new KilnError('InvalidParameterValue', `The entry ${cidr} (Cidr) ${why}`)
