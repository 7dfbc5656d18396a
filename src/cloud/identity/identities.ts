/** What users, groups, roles, instance profiles and policies have in common: a name of their own, a path, tags. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Identity, IdentityChoice, IdentityKind } from '../../state/identities.ts'
import type { Page, PageRequest } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps } from '../deps.ts'
import { checkName, checkPath, identityKinds, newIdentityId } from './names.ts'

export type { Identity, IdentityChoice, IdentityKind }
export type IdentityDeps = Pick<CloudDeps, 'state' | 'clock' | 'random' | 'masterKey'>

/** IAM is one for all regions: its tags are of none that EC2 knows. */
const tagRegion = 'aws-global'

export interface NewIdentity {
  name: string
  path: string | undefined
  tags: readonly Tag[]
}

/** Columns that only some kinds have. */
type KindColumns = Pick<
  Identity,
  | 'description'
  | 'trustPolicy'
  | 'maxSessionSeconds'
  | 'permissionsBoundary'
  | 'roleId'
  | 'defaultVersion'
  | 'versionsMade'
>

const noColumns: KindColumns = {
  ...{ description: null, trustPolicy: null, maxSessionSeconds: null, permissionsBoundary: null },
  ...{ roleId: null, defaultVersion: null, versionsMade: null },
}

export class Identities {
  readonly #deps: IdentityDeps

  constructor(deps: IdentityDeps) {
    this.#deps = deps
  }

  /** Within a transaction. Throws ValidationError, EntityAlreadyExists, LimitExceeded. */
  async insert(
    tx: Repositories,
    owner: { accountId: string; kind: IdentityKind },
    { name, path, tags }: NewIdentity,
    columns: Partial<KindColumns> = {},
  ): Promise<Identity> {
    const { accountId, kind } = owner
    const { quota, quotaName, nameLength, present } = identityKinds[kind]
    checkName(name, nameLength, 'name')
    const now = this.#deps.clock.now()
    const row: Identity = {
      ...{ ...owner, id: newIdentityId(kind, this.#deps.random), name, nameKey: name.toLowerCase() },
      ...{ path: checkPath(path), lastUsedAt: null, lastUsedRegion: null, ...noColumns, ...columns },
      ...{ createdAt: now, updatedAt: now },
    }
    if (await tx.identities.named(accountId, kind, name)) throw new KilnError('EntityAlreadyExists', present(name))
    if ((await tx.identities.count(accountId, { kind })) >= quota) throw overQuota(quotaName, quota)
    await tx.identities.insert(row)
    await this.#putTags(tx, row, tags)
    return row
  }

  /** Throws NoSuchEntity. */
  async named(state: Repositories, accountId: string, kind: IdentityKind, name: string): Promise<Identity> {
    const row = await state.identities.named(accountId, kind, name)
    if (row) return row
    throw new KilnError('NoSuchEntity', identityKinds[kind].missing(name.slice(0, 128)))
  }

  get(accountId: string, kind: IdentityKind, name: string): Promise<Identity> {
    return this.named(this.#deps.state, accountId, kind, name)
  }

  list(accountId: string, choice: IdentityChoice, page?: PageRequest): Promise<Page<Identity>> {
    return this.#deps.state.identities.list(accountId, choice, page)
  }

  /** How many of each kind the account has. */
  async counts(accountId: string): Promise<Record<IdentityKind, number>> {
    const kinds = Object.keys(identityKinds) as IdentityKind[]
    const { identities } = this.#deps.state
    const counted = await Promise.all(
      kinds.map(async (kind) => [kind, await identities.count(accountId, { kind })] as const),
    )
    return Object.fromEntries(counted) as Record<IdentityKind, number>
  }

  /** A new name, a new path, or both. Throws EntityAlreadyExists. */
  async rename(
    owner: { accountId: string; kind: IdentityKind },
    name: string,
    to: { name?: string | undefined; path?: string | undefined },
  ): Promise<void> {
    const { accountId, kind } = owner
    await this.#deps.state.transaction(async (tx) => {
      const row = await this.named(tx, accountId, kind, name)
      const newName = to.name === undefined ? row.name : checkName(to.name, identityKinds[kind].nameLength, 'newName')
      const other = await tx.identities.named(accountId, kind, newName)
      if (other && other.id !== row.id) {
        throw new KilnError('EntityAlreadyExists', identityKinds[kind].present(newName))
      }
      const path = to.path === undefined ? row.path : checkPath(to.path, 'newPath')
      await tx.identities.update(row.id, { name: newName, nameKey: newName.toLowerCase(), path })
    })
  }

  /** Within a transaction; with its tags, and nothing else. */
  async remove(tx: Repositories, { id }: Identity): Promise<void> {
    await tx.tags.removeAll(id)
    await tx.identities.remove(id)
  }

  async tagsOf(rows: readonly Identity[]): Promise<Map<string, Tag[]>> {
    if (rows.length === 0) return new Map()
    return await this.#deps.state.tags.of(
      rows[0]!.accountId,
      rows.map((row) => row.id),
    )
  }

  /** Throws LimitExceeded for more than 50. */
  async tag(row: Identity, tags: readonly Tag[]): Promise<void> {
    await this.#deps.state.transaction((tx) => this.#putTags(tx, row, tags))
  }

  async untag({ id, accountId }: Identity, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    await this.#deps.state.tags.remove(
      accountId,
      id,
      keys.map((key) => ({ key, value: undefined })),
    )
  }

  async #putTags(tx: Repositories, { id, accountId, kind }: Identity, tags: readonly Tag[]): Promise<void> {
    const present = (await tx.tags.of(accountId, [id])).get(id) ?? []
    const keys = new Set([...present, ...tags].map((tag) => tag.key))
    if (keys.size > limits.tagsPerResource) throw overQuota(`TagsPer${tagQuotaNames[kind]}`, limits.tagsPerResource)
    await tx.tags.put({ id, type: `iam-${kind}`, accountId, region: tagRegion }, tags)
  }
}

const tagQuotaNames: Readonly<Record<IdentityKind, string>> = {
  ...{ user: 'User', group: 'Group', role: 'Role', policy: 'Policy' },
  'instance-profile': 'InstanceProfile',
}

export function overQuota(name: string, quota: number): KilnError {
  return new KilnError('LimitExceeded', `Cannot exceed quota for ${name}: ${quota}`)
}

export function deleteConflict(what: string): KilnError {
  return new KilnError('DeleteConflict', `Cannot delete entity, must ${what} first.`)
}
