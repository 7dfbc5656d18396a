/** Which instance has which instance profile. */
import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import { constants, type FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { InstanceProfileAssociationsTable } from './schema/identities.ts'

export type InstanceProfileAssociation = Selectable<InstanceProfileAssociationsTable>

/** Source: DescribeIamInstanceProfileAssociations in the EC2 API reference. */
const filters: FilterRules = {
  ...constants({ state: 'associated' }),
  'instance-id': { column: 'instanceProfileAssociations.instanceId' },
}

export class InstanceProfileAssociationRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(rows: readonly Insertable<InstanceProfileAssociationsTable>[]): Promise<void> {
    await insertRows(this.#db, 'instanceProfileAssociations', rows)
  }

  get(id: string): Promise<InstanceProfileAssociation | undefined> {
    return this.#db.selectFrom('instanceProfileAssociations').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async of(instanceIds: readonly string[]): Promise<InstanceProfileAssociation[]> {
    if (instanceIds.length === 0) return []
    return await this.#db
      .selectFrom('instanceProfileAssociations')
      .selectAll()
      .where('instanceId', 'in', [...instanceIds])
      .execute()
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('instanceProfileAssociations').where('id', '=', id).execute()
  }

  /** Those of instances that are not terminated. */
  list(region: string, request: ListRequest): Promise<Page<InstanceProfileAssociation>> {
    const query = this.#db
      .selectFrom('instanceProfileAssociations')
      .innerJoin('instances', 'instances.id', 'instanceProfileAssociations.instanceId')
      .selectAll('instanceProfileAssociations')
      .where('instanceProfileAssociations.accountId', '=', request.accountId)
      .where('instanceProfileAssociations.region', '=', region)
      .where('instances.state', 'not in', ['shutting-down', 'terminated'])
    const order = { time: 'instanceProfileAssociations.createdAt', id: 'instanceProfileAssociations.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
