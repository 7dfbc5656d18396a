import { type Insertable, type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { SnapshotState, SnapshotsTable } from './schema.ts'

export type Snapshot = Selectable<SnapshotsTable>

const snapshotFilters: FilterRules = {
  tags: { tagsOf: 'snapshots.id' },
  description: { column: 'snapshots.description' },
  encrypted: { number: 'snapshots.encrypted' },
  'owner-alias': { column: 'snapshots.ownerAlias' },
  'owner-id': { column: 'snapshots.accountId' },
  progress: {
    // EC2 writes the progress with a percent sign: `100%`.
    text: (eb) => sql`cast(${eb.ref('snapshots.progress' as never)} as text) || '%'`,
  },
  'snapshot-id': { column: 'snapshots.id' },
  'start-time': { time: 'snapshots.startedAt' },
  status: { column: 'snapshots.state' },
  'storage-tier': { constant: 'standard' },
  'volume-id': { column: 'snapshots.volumeId' },
  'volume-size': { number: 'snapshots.sizeGib' },
}

export interface SnapshotListRequest extends ListRequest {
  owners?: readonly string[]
}

export class SnapshotRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<SnapshotsTable>): Promise<void> {
    await this.#db.insertInto('snapshots').values(row).execute()
  }

  get(id: string): Promise<Snapshot | undefined> {
    return this.#db.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<Snapshot[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  /** Snapshots that are still being made of that volume. */
  pendingOf(volumeId: string): Promise<Snapshot[]> {
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('volumeId', '=', volumeId)
      .where('state', '=', 'pending')
      .execute()
  }

  /** Snapshots of a region, of all accounts, that have content there. */
  async rooted(region: string): Promise<{ id: string; rootHash: string }[]> {
    const rows = await this.#db
      .selectFrom('snapshots')
      .select(['id', 'rootHash'])
      .where('region', '=', region)
      .where('state', '!=', 'deleted')
      .where('rootHash', 'is not', null)
      .orderBy('id')
      .execute()
    return rows.map(({ id, rootHash }) => ({ id, rootHash: rootHash! }))
  }

  async update(id: string, patch: Partial<SnapshotsTable>): Promise<void> {
    await this.#db.updateTable('snapshots').set(patch).where('id', '=', id).execute()
  }

  async move(id: string, from: readonly SnapshotState[], patch: Partial<SnapshotsTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('snapshots')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** Own snapshots, and those that everybody may read (the public images'). */
  list(region: string, request: SnapshotListRequest): Promise<Page<Snapshot>> {
    let query = this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('snapshots.region', '=', region)
      .where('snapshots.state', '!=', 'deleted')
      .where((eb) =>
        eb.or([eb('snapshots.accountId', '=', request.accountId), eb('snapshots.ownerAlias', 'is not', null)]),
      )
    if (request.owners) {
      query = query.where((eb) =>
        eb.or([
          eb('snapshots.accountId', 'in', [...request.owners!]),
          eb('snapshots.ownerAlias', 'in', [...request.owners!]),
        ]),
      )
    }
    const order = { time: 'snapshots.startedAt', id: 'snapshots.id' }
    return listPage(query, snapshotFilters, order, request, (row) => ({ time: row.startedAt, id: row.id }))
  }
}
