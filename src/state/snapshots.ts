import { type Expression, type Insertable, type Selectable, type SqlBool, sql } from 'kysely'
import type { Db } from './database.ts'
import { absent, type Builder, type FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { SnapshotState, SnapshotsTable } from './schema.ts'

export type Snapshot = Selectable<SnapshotsTable>

/** An archived snapshot that is temporarily restored is in the standard tier as long as that lasts. */
const snapshotFilters = (nowMs: number): FilterRules => ({
  ...absent('transfer-type'),
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
  'storage-tier': {
    text: () => sql`coalesce((
      select case when t.restore_expires_at > ${nowMs} then 'standard' else t.tier end
      from snapshot_tiers as t where t.snapshot_id = snapshots.id), 'standard')`,
  },
  'volume-id': { column: 'snapshots.volumeId' },
  'volume-size': { number: 'snapshots.sizeGib' },
})

/** The snapshot says so in its permissions. What is shared with all is not, once its owner blocks all public sharing. */
function isGrantedTo(eb: Builder, grantees: readonly string[]): Expression<SqlBool> {
  return eb.exists(
    eb
      .selectFrom('snapshotCreateVolumePermissions as p')
      .select('p.snapshotId')
      .whereRef('p.snapshotId', '=', 'snapshots.id' as never)
      .where('p.grantee', 'in', [...grantees])
      .where((sub) =>
        sub.or([
          sub('p.grantee', '!=', 'all'),
          sub.not(
            sub.exists(
              sub
                .selectFrom('publicAccessBlocks as b')
                .select('b.state')
                .whereRef('b.accountId', '=', 'snapshots.accountId' as never)
                .whereRef('b.region', '=', 'snapshots.region' as never)
                .where('b.resourceType', '=', 'snapshot')
                .where('b.state', '=', 'block-all-sharing'),
            ),
          ),
        ]),
      ),
  )
}

/** Own snapshots, those shared with the account or with all, and the public images'. */
function isReadableBy(eb: Builder, accountId: string): Expression<SqlBool> {
  return eb.or([
    eb('snapshots.accountId' as never, '=', accountId as never),
    eb('snapshots.ownerAlias' as never, 'is not', null as never),
    isGrantedTo(eb, ['all', accountId]),
  ])
}

/** `self` are the caller's own and those shared with it by name, `all` the public ones; others' are told to the owner alone. */
function isRestorableBy(eb: Builder, user: string, accountId: string): Expression<SqlBool> {
  const isOwn = eb('snapshots.accountId' as never, '=', accountId as never)
  if (user === 'all') {
    return eb.or([eb('snapshots.ownerAlias' as never, 'is not', null as never), isGrantedTo(eb, ['all'])])
  }
  if (user === accountId) return eb.or([isOwn, isGrantedTo(eb, [accountId])])
  return eb.and([isOwn, isGrantedTo(eb, [user])])
}

export interface SnapshotListRequest extends ListRequest {
  nowMs: number
  owners?: readonly string[]
  /** Account ids or `all`: snapshots of which any of them may make volumes. */
  restorableBy?: readonly string[]
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

  /** Those of the ids that the account may read in the region. */
  readable(region: string, accountId: string, ids: readonly string[]): Promise<Snapshot[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#readable(region, accountId)
      .where('snapshots.id', 'in', [...ids])
      .execute()
  }

  /** Snapshots that the account may read. */
  list(region: string, request: SnapshotListRequest): Promise<Page<Snapshot>> {
    let query = this.#readable(region, request.accountId)
    if (request.owners) {
      query = query.where((eb) =>
        eb.or([
          eb('snapshots.accountId', 'in', [...request.owners!]),
          eb('snapshots.ownerAlias', 'in', [...request.owners!]),
        ]),
      )
    }
    if (request.restorableBy) {
      const { restorableBy, accountId } = request
      query = query.where((eb) =>
        eb.or(restorableBy.map((user) => isRestorableBy(eb as unknown as Builder, user, accountId))),
      )
    }
    const order = { time: 'snapshots.startedAt', id: 'snapshots.id' }
    return listPage(query, snapshotFilters(request.nowMs), order, request, (row) => ({
      time: row.startedAt,
      id: row.id,
    }))
  }
  #readable(region: string, accountId: string) {
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('snapshots.region', '=', region)
      .where('snapshots.state', '!=', 'deleted')
      .where((eb) => isReadableBy(eb as unknown as Builder, accountId))
  }

  /**
   * The roots that the region's store must serve at once, the given snapshot's own left out unless something else has
   * the same: those of snapshots in the standard tier, and of what volumes read from.
   */
  async rootsInUse(region: string, exceptId: string, nowMs: number): Promise<string[]> {
    const ofSnapshots = await this.#db
      .selectFrom('snapshots as s')
      .leftJoin('snapshotTiers as t', 't.snapshotId', 's.id')
      .select('s.rootHash as root')
      .distinct()
      .where('s.region', '=', region)
      .where('s.state', '!=', 'deleted')
      .where('s.id', '!=', exceptId)
      .where('s.rootHash', 'is not', null)
      .where((eb) =>
        eb.or([eb('t.tier', 'is', null), eb('t.tier', '=', 'standard'), eb('t.restoreExpiresAt', '>', nowMs)]),
      )
      .execute()
    const ofVolumes = await this.#db
      .selectFrom('volumes')
      .select('baseRoot as root')
      .distinct()
      .where('region', '=', region)
      .where('baseRoot', 'is not', null)
      .execute()
    return [...new Set([...ofSnapshots, ...ofVolumes].map(({ root }) => root!))]
  }

  /** Who may make volumes of the snapshot, its owner aside: account ids, and `all`. */
  async granteesOf(snapshotId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('snapshotCreateVolumePermissions')
      .select('grantee')
      .where('snapshotId', '=', snapshotId)
      .orderBy('grantee')
      .execute()
    return rows.map((row) => row.grantee)
  }

  async grant(snapshotId: string, grantees: readonly string[]): Promise<void> {
    if (grantees.length === 0) return
    await this.#db
      .insertInto('snapshotCreateVolumePermissions')
      .values(grantees.map((grantee) => ({ snapshotId, grantee })))
      .onConflict((conflict) => conflict.columns(['snapshotId', 'grantee']).doNothing())
      .execute()
  }

  /** Takes the permission from those grantees, or from all of them when none are named. */
  async revoke(snapshotId: string, grantees?: readonly string[]): Promise<void> {
    let query = this.#db.deleteFrom('snapshotCreateVolumePermissions').where('snapshotId', '=', snapshotId)
    if (grantees) query = query.where('grantee', 'in', [...grantees])
    await query.execute()
  }
}
