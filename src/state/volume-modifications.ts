import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { VolumeModificationsTable } from './schema.ts'

export type VolumeModification = Selectable<VolumeModificationsTable>

const filters: FilterRules = {
  'modification-state': { column: 'volumeModifications.state' },
  'original-iops': { number: 'volumeModifications.originalIops' },
  'original-size': { number: 'volumeModifications.originalSizeGib' },
  originalMultiAttachEnabled: { number: 'volumeModifications.originalMultiAttach' },
  targetMultiAttachEnabled: { number: 'volumeModifications.targetMultiAttach' },
  'original-volume-type': { column: 'volumeModifications.originalType' },
  'start-time': { time: 'volumeModifications.startedAt' },
  'target-iops': { number: 'volumeModifications.targetIops' },
  'target-size': { number: 'volumeModifications.targetSizeGib' },
  'target-volume-type': { column: 'volumeModifications.targetType' },
  'volume-id': { column: 'volumeModifications.volumeId' },
}

export class VolumeModificationRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  get(volumeId: string): Promise<VolumeModification | undefined> {
    return this.#db.selectFrom('volumeModifications').selectAll().where('volumeId', '=', volumeId).executeTakeFirst()
  }

  /** Takes the place of the volume's former modification. */
  async put(row: Insertable<VolumeModificationsTable>): Promise<void> {
    await this.remove(row.volumeId)
    await this.#db.insertInto('volumeModifications').values(row).execute()
  }

  async update(volumeId: string, patch: Partial<VolumeModificationsTable>): Promise<void> {
    await this.#db.updateTable('volumeModifications').set(patch).where('volumeId', '=', volumeId).execute()
  }

  async remove(volumeId: string): Promise<void> {
    await this.#db.deleteFrom('volumeModifications').where('volumeId', '=', volumeId).execute()
  }

  list(region: string, request: ListRequest): Promise<Page<VolumeModification>> {
    const query = this.#db
      .selectFrom('volumeModifications')
      .innerJoin('volumes', 'volumes.id', 'volumeModifications.volumeId')
      .selectAll('volumeModifications')
      .where('volumes.accountId', '=', request.accountId)
      .where('volumes.region', '=', region)
    const order = { time: 'volumeModifications.startedAt', id: 'volumeModifications.volumeId' }
    return listPage(query, filters, order, request, (row) => ({ time: row.startedAt, id: row.volumeId }))
  }
}
