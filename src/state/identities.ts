/** Users, groups, roles, instance profiles and policies, by id and by name, and who belongs to whom. */
import { type Insertable, type Selectable, type SelectQueryBuilder, sql } from 'kysely'
import type { Db } from './database.ts'
import { listPage, type Page, type PageRequest } from './listing.ts'
import type { IdentitiesTable, IdentityKind } from './schema/identities.ts'
import type { Database } from './schema.ts'

export type Identity = Selectable<IdentitiesTable>
export type { IdentityKind }

/** Which of an account's identities: all that is said must hold. */
export interface IdentityChoice {
  kind: IdentityKind
  pathPrefix?: string | undefined
  /** Users of that group. */
  memberOf?: string
  /** Groups of that user. */
  withMember?: string
  /** Instance profiles with that role. */
  roleId?: string
  /** Whoever has that policy attached. */
  withPolicy?: string
  /** Whoever that policy bounds. */
  boundedBy?: string
  /** Policies that are attached to anybody, or bound somebody; their ARN is made of their path and name. */
  isAttached?: boolean
  isBoundary?: boolean
}

/** A policy's ARN, as SQL. */
const policyArn = sql<string>`'arn:aws:iam::' || identities.account_id || ':policy' || identities.path || identities.name`

export class IdentityRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<IdentitiesTable>): Promise<void> {
    await this.#db.insertInto('identities').values(row).execute()
  }

  get(id: string): Promise<Identity | undefined> {
    return this.#db.selectFrom('identities').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<Identity[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('identities')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  /** Whatever the case of the name. */
  named(accountId: string, kind: IdentityKind, name: string): Promise<Identity | undefined> {
    return this.#db
      .selectFrom('identities')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('kind', '=', kind)
      .where('nameKey', '=', name.toLowerCase())
      .executeTakeFirst()
  }

  async update(id: string, patch: Partial<IdentitiesTable>): Promise<void> {
    await this.#db.updateTable('identities').set(patch).where('id', '=', id).execute()
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('identities').where('id', '=', id).execute()
  }

  list(accountId: string, choice: IdentityChoice, page?: PageRequest): Promise<Page<Identity>> {
    const order = { time: 'identities.createdAt', id: 'identities.id' }
    const request = { accountId, ...(page && { page }) }
    return listPage(this.#chosen(accountId, choice).selectAll('identities'), {}, order, request, (row) => ({
      time: row.createdAt,
      id: row.id,
    }))
  }

  async count(accountId: string, choice: IdentityChoice): Promise<number> {
    const row = await this.#chosen(accountId, choice)
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async addMember(groupId: string, userId: string): Promise<void> {
    await this.#db
      .insertInto('groupMembers')
      .values({ groupId, userId })
      .onConflict((conflict) => conflict.columns(['groupId', 'userId']).doNothing())
      .execute()
  }

  async removeMember(groupId: string, userId: string): Promise<void> {
    await this.#db.deleteFrom('groupMembers').where('groupId', '=', groupId).where('userId', '=', userId).execute()
  }

  async alias(accountId: string): Promise<string | undefined> {
    const query = this.#db.selectFrom('accountAliases').select('alias').where('accountId', '=', accountId)
    return (await query.executeTakeFirst())?.alias
  }

  async accountOfAlias(alias: string): Promise<string | undefined> {
    const query = this.#db.selectFrom('accountAliases').select('accountId').where('alias', '=', alias)
    return (await query.executeTakeFirst())?.accountId
  }

  /** Null takes it away. */
  async setAlias(accountId: string, alias: string | null): Promise<void> {
    await this.#db.deleteFrom('accountAliases').where('accountId', '=', accountId).execute()
    if (alias !== null) await this.#db.insertInto('accountAliases').values({ accountId, alias }).execute()
  }

  #chosen(accountId: string, choice: IdentityChoice): SelectQueryBuilder<Database, 'identities', object> {
    const { kind, pathPrefix, memberOf, withMember, roleId, withPolicy, boundedBy, isAttached, isBoundary } = choice
    let query = this.#db
      .selectFrom('identities')
      .where('identities.accountId', '=', accountId)
      .where('identities.kind', '=', kind)
    if (pathPrefix !== undefined && pathPrefix !== '/') {
      query = query.where(sql<boolean>`substr(identities.path, 1, ${pathPrefix.length}) = ${pathPrefix}`)
    }
    if (memberOf !== undefined) {
      query = query.where('identities.id', 'in', (eb) =>
        eb.selectFrom('groupMembers').select('userId').where('groupId', '=', memberOf),
      )
    }
    if (withMember !== undefined) {
      query = query.where('identities.id', 'in', (eb) =>
        eb.selectFrom('groupMembers').select('groupId').where('userId', '=', withMember),
      )
    }
    if (roleId !== undefined) query = query.where('identities.roleId', '=', roleId)
    if (withPolicy !== undefined) {
      query = query.where('identities.id', 'in', (eb) =>
        eb.selectFrom('policyAttachments').select('identityId').where('policyArn', '=', withPolicy),
      )
    }
    if (boundedBy !== undefined) query = query.where('identities.permissionsBoundary', '=', boundedBy)
    if (isAttached) {
      query = query.where(policyArn, 'in', (eb) => eb.selectFrom('policyAttachments').select('policyArn'))
    }
    if (isBoundary) {
      query = query.where(policyArn, 'in', (eb) =>
        eb
          .selectFrom('identities as bounded')
          .select('bounded.permissionsBoundary')
          .where('bounded.accountId', '=', accountId)
          .where('bounded.permissionsBoundary', 'is not', null)
          .$narrowType<{ permissionsBoundary: string }>(),
      )
    }
    return query
  }
}
