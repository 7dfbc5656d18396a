/** Documents of policies: versions of managed ones, those within an identity, and who has which attached. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { InlinePoliciesTable, PolicyVersionsTable } from './schema/identities.ts'

export type PolicyVersion = Selectable<PolicyVersionsTable>
export type InlinePolicy = Selectable<InlinePoliciesTable>

export class IdentityPolicyRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insertVersion(row: Insertable<PolicyVersionsTable>): Promise<void> {
    await this.#db.insertInto('policyVersions').values(row).execute()
  }

  version(policyId: string, version: number): Promise<PolicyVersion | undefined> {
    return this.#db
      .selectFrom('policyVersions')
      .selectAll()
      .where('policyId', '=', policyId)
      .where('version', '=', version)
      .executeTakeFirst()
  }

  /** The newest first. */
  versions(policyId: string): Promise<PolicyVersion[]> {
    return this.#db
      .selectFrom('policyVersions')
      .selectAll()
      .where('policyId', '=', policyId)
      .orderBy('version', 'desc')
      .execute()
  }

  /** All of them, or one. */
  async removeVersions(policyId: string, version?: number): Promise<void> {
    let query = this.#db.deleteFrom('policyVersions').where('policyId', '=', policyId)
    if (version !== undefined) query = query.where('version', '=', version)
    await query.execute()
  }

  async putInline(row: Insertable<InlinePoliciesTable>): Promise<void> {
    await this.#db
      .insertInto('inlinePolicies')
      .values(row)
      .onConflict((conflict) => conflict.columns(['identityId', 'name']).doUpdateSet({ document: row.document }))
      .execute()
  }

  inline(identityId: string): Promise<InlinePolicy[]> {
    return this.#db
      .selectFrom('inlinePolicies')
      .selectAll()
      .where('identityId', '=', identityId)
      .orderBy('name')
      .execute()
  }

  /** False when there was none. */
  async removeInline(identityId: string, name: string): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('inlinePolicies')
      .where('identityId', '=', identityId)
      .where('name', '=', name)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }

  async attach(identityId: string, policyArn: string, attachedAt: number): Promise<void> {
    await this.#db
      .insertInto('policyAttachments')
      .values({ identityId, policyArn, attachedAt })
      .onConflict((conflict) => conflict.columns(['identityId', 'policyArn']).doNothing())
      .execute()
  }

  /** False when it was not attached. */
  async detach(identityId: string, policyArn: string): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('policyAttachments')
      .where('identityId', '=', identityId)
      .where('policyArn', '=', policyArn)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }

  /** ARNs, in their order. */
  async attached(identityId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('policyAttachments')
      .select('policyArn')
      .where('identityId', '=', identityId)
      .orderBy('policyArn')
      .execute()
    return rows.map((row) => row.policyArn)
  }

  /** How many of the account's users, groups and roles have each of those policies attached. */
  async attachmentCounts(accountId: string, policyArns: readonly string[]): Promise<Map<string, number>> {
    if (policyArns.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('policyAttachments as a')
      .innerJoin('identities as i', 'i.id', 'a.identityId')
      .select((eb) => ['a.policyArn', eb.fn.countAll<number | string>().as('count')])
      .where('i.accountId', '=', accountId)
      .where('a.policyArn', 'in', [...policyArns])
      .groupBy('a.policyArn')
      .execute()
    return new Map(rows.map((row) => [row.policyArn, Number(row.count)]))
  }

  /** How many of the account's users and roles each of those policies bounds. */
  async boundaryCounts(accountId: string, policyArns: readonly string[]): Promise<Map<string, number>> {
    if (policyArns.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('identities')
      .select((eb) => ['permissionsBoundary', eb.fn.countAll<number | string>().as('count')])
      .where('accountId', '=', accountId)
      .where('permissionsBoundary', 'in', [...policyArns])
      .groupBy('permissionsBoundary')
      .execute()
    return new Map(rows.map((row) => [row.permissionsBoundary!, Number(row.count)]))
  }
}
