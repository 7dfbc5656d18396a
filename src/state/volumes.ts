/** Volumes, the layers they are made of, and what they are attached to. */
import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import { zoneId } from './derived-filters.ts'
import { absent, constants, type FilterRules, type Match } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { VolumeAttachmentsTable, VolumeLayersTable, VolumeState, VolumesTable } from './schema.ts'

export type Volume = Selectable<VolumesTable>
export type VolumeLayer = Selectable<VolumeLayersTable>
export type VolumeAttachment = Selectable<VolumeAttachmentsTable>

const ofAttachment = (
  column: keyof VolumeAttachmentsTable,
  kind: Parameters<Match>[1] = 'text',
): FilterRules[string] => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('volumeAttachments as a')
        .select('a.volumeId')
        .whereRef('a.volumeId', '=', 'volumes.id')
        .where(match(`a.${column}`, kind)),
    ),
})

const volumeFilters: FilterRules = {
  ...absent('operator.principal'),
  ...constants({ 'operator.managed': 'false' }),
  'multi-attach-enabled': { number: 'volumes.multiAttach' },
  'attachment.attach-time': ofAttachment('attachedAt', 'time'),
  'availability-zone-id': zoneId('volumes.zone'),
  tags: { tagsOf: 'volumes.id' },
  'attachment.delete-on-termination': {
    truth: (eb) =>
      eb.exists(
        eb
          .selectFrom('volumeAttachments as a')
          .select('a.volumeId')
          .whereRef('a.volumeId', '=', 'volumes.id')
          .where('a.deleteOnTermination', '=', 1),
      ),
  },
  'attachment.device': ofAttachment('deviceName'),
  'attachment.instance-id': ofAttachment('instanceId'),
  'attachment.status': ofAttachment('state'),
  'availability-zone': { column: 'volumes.zone' },
  'create-time': { time: 'volumes.createdAt' },
  encrypted: { number: 'volumes.encrypted' },
  'fast-restored': { number: 'volumes.fastRestored' },
  size: { number: 'volumes.sizeGib' },
  'snapshot-id': { column: 'volumes.snapshotId' },
  status: { column: 'volumes.state' },
  'volume-id': { column: 'volumes.id' },
  'volume-type': { column: 'volumes.volumeType' },
}

export class VolumeRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<VolumesTable>, layer: Insertable<VolumeLayersTable>): Promise<void> {
    await this.#db.insertInto('volumes').values(row).execute()
    await this.#db.insertInto('volumeLayers').values(layer).execute()
  }

  /** New volumes, each with what it is made of and attached to. */
  async insertAttached(
    rows: readonly {
      volume: Insertable<VolumesTable>
      layer: Insertable<VolumeLayersTable>
      attachment: Insertable<VolumeAttachmentsTable>
    }[],
  ): Promise<void> {
    const column = <K extends 'volume' | 'layer' | 'attachment'>(key: K) => rows.map((row) => row[key])
    await insertRows(this.#db, 'volumes', column('volume'))
    await insertRows(this.#db, 'volumeLayers', column('layer'))
    await insertRows(this.#db, 'volumeAttachments', column('attachment'))
  }

  get(id: string): Promise<Volume | undefined> {
    return this.#db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<Volume[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('volumes')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  /** Volumes of a region, of all accounts, that read a root from the store. */
  async based(region: string): Promise<{ id: string; baseRoot: string }[]> {
    const rows = await this.#db
      .selectFrom('volumes')
      .select(['id', 'baseRoot'])
      .where('region', '=', region)
      .where('baseRoot', 'is not', null)
      .where('hydratedAt', 'is', null)
      .orderBy('id')
      .execute()
    return rows.map(({ id, baseRoot }) => ({ id, baseRoot: baseRoot! }))
  }

  /** Volumes that have all of that root on this host; a few will do. */
  async hydratedOf(region: string, root: string, dataKeyId: string | null): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('volumes')
      .select('id')
      .where('region', '=', region)
      .where('baseRoot', '=', root)
      // What one lineage has on this host is encrypted under a key of its own.
      .where('dataKeyId', dataKeyId === null ? 'is' : '=', dataKeyId)
      .where('hydratedAt', 'is not', null)
      .where('state', 'in', ['available', 'in-use'])
      .orderBy('hydratedAt', 'desc')
      .limit(8)
      .execute()
    return rows.map((row) => row.id)
  }

  /** A snapshot or a copy of the volume that is under way, and for which it must stay. */
  async readerOf(id: string): Promise<string | undefined> {
    const snapshot = await this.#db
      .selectFrom('snapshots')
      .select('id')
      .where('volumeId', '=', id)
      .where('state', '=', 'pending')
      .limit(1)
      .executeTakeFirst()
    if (snapshot) return snapshot.id
    const copy = await this.#db
      .selectFrom('volumes')
      .select('id')
      .where('sourceVolumeId', '=', id)
      .where('state', '=', 'creating')
      .limit(1)
      .executeTakeFirst()
    return copy?.id
  }

  /** Those that several instances may have, and at least one has. */
  sharedInUse(): Promise<Volume[]> {
    return this.#db
      .selectFrom('volumes')
      .selectAll()
      .where('multiAttach', '=', 1)
      .where('state', '=', 'in-use')
      .execute()
  }

  inState(state: VolumeState): Promise<Volume[]> {
    return this.#db.selectFrom('volumes').selectAll().where('state', '=', state).execute()
  }

  /** Volumes that were made of a snapshot before that time and still need it, and copies of such. Oldest first. */
  notHydrated(createdBefore: number, limit: number): Promise<Volume[]> {
    return this.#db
      .selectFrom('volumes')
      .selectAll()
      .where('baseRoot', 'is not', null)
      .where('hydratedAt', 'is', null)
      .where('state', 'in', ['available', 'in-use'])
      .where((eb) => eb.or([eb('createdAt', '<', createdBefore), eb('sourceVolumeId', 'is not', null)]))
      .orderBy('createdAt')
      .limit(limit)
      .execute()
  }

  async update(id: string, patch: Partial<VolumesTable>): Promise<void> {
    await this.#db.updateTable('volumes').set(patch).where('id', '=', id).execute()
  }

  async move(id: string, from: readonly VolumeState[], to: VolumeState): Promise<boolean> {
    const done = await this.#db
      .updateTable('volumes')
      .set({ state: to })
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('volumeLayers').where('volumeId', '=', id).execute()
    await this.#db.deleteFrom('volumeAttachments').where('volumeId', '=', id).execute()
    await this.#db.deleteFrom('volumeModifications').where('volumeId', '=', id).execute()
    await this.#db.deleteFrom('volumes').where('id', '=', id).execute()
  }

  list(region: string, request: ListRequest): Promise<Page<Volume>> {
    const query = this.#db
      .selectFrom('volumes')
      .selectAll()
      .where('volumes.accountId', '=', request.accountId)
      .where('volumes.region', '=', region)
    const order = { time: 'volumes.createdAt', id: 'volumes.id' }
    return listPage(query, volumeFilters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }

  /** Lowest first. */
  layers(volumeId: string): Promise<VolumeLayer[]> {
    return this.#db.selectFrom('volumeLayers').selectAll().where('volumeId', '=', volumeId).orderBy('seq').execute()
  }

  async addLayer(row: Insertable<VolumeLayersTable>): Promise<void> {
    await this.#db
      .insertInto('volumeLayers')
      .values(row)
      .onConflict((conflict) => conflict.columns(['volumeId', 'seq']).doNothing())
      .execute()
  }

  async updateLayer(volumeId: string, seq: number, patch: Partial<VolumeLayersTable>): Promise<void> {
    await this.#db
      .updateTable('volumeLayers')
      .set(patch)
      .where('volumeId', '=', volumeId)
      .where('seq', '=', seq)
      .execute()
  }

  async replaceLayers(volumeId: string, rows: readonly Insertable<VolumeLayersTable>[]): Promise<void> {
    await this.#db.deleteFrom('volumeLayers').where('volumeId', '=', volumeId).execute()
    await insertRows(this.#db, 'volumeLayers', rows)
  }

  /** Those layers have files from now on. */
  async markLayersMade(volumeId: string, seqs: readonly number[]): Promise<void> {
    await this.#db
      .updateTable('volumeLayers')
      .set({ isMade: 1 })
      .where('volumeId', '=', volumeId)
      .where('seq', 'in', [...seqs])
      .execute()
  }

  async attach(row: Insertable<VolumeAttachmentsTable>): Promise<void> {
    await this.#db.insertInto('volumeAttachments').values(row).execute()
  }

  async updateAttachment(volumeId: string, instanceId: string, patch: Partial<VolumeAttachmentsTable>): Promise<void> {
    await this.#db
      .updateTable('volumeAttachments')
      .set(patch)
      .where('volumeId', '=', volumeId)
      .where('instanceId', '=', instanceId)
      .execute()
  }

  async detach(volumeId: string, instanceId: string): Promise<void> {
    await this.#db
      .deleteFrom('volumeAttachments')
      .where('volumeId', '=', volumeId)
      .where('instanceId', '=', instanceId)
      .execute()
  }

  attachmentsOfInstances(instanceIds: readonly string[]): Promise<VolumeAttachment[]> {
    if (instanceIds.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('volumeAttachments')
      .selectAll()
      .where('instanceId', 'in', [...instanceIds])
      .orderBy('slot')
      .execute()
  }

  attachmentsOfVolumes(volumeIds: readonly string[]): Promise<VolumeAttachment[]> {
    if (volumeIds.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('volumeAttachments')
      .selectAll()
      .where('volumeId', 'in', [...volumeIds])
      .execute()
  }
}
