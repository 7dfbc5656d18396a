import type { Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { InstanceDisksTable } from './schema/instance-disks.ts'

export type InstanceDisk = Selectable<InstanceDisksTable>

export class InstanceDiskRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(rows: readonly InstanceDisk[]): Promise<void> {
    await insertRows(this.#db, 'instanceDisks', rows)
  }

  /** By slot, instance by instance. */
  async of(instanceIds: readonly string[]): Promise<InstanceDisk[]> {
    if (instanceIds.length === 0) return []
    const rows = await this.#db
      .selectFrom('instanceDisks')
      .selectAll()
      .where('instanceId', 'in', [...instanceIds])
      .orderBy('instanceId')
      .orderBy('slot')
      .execute()
    return rows.map((row) => ({ ...row, sizeBytes: Number(row.sizeBytes) }))
  }

  /** Instances that have a root in the instance store, made of that image. */
  async rootedOn(imageId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('instanceDisks')
      .innerJoin('instances', 'instances.id', 'instanceDisks.instanceId')
      .select('instances.id')
      .where('instanceDisks.virtualName', '=', 'root')
      .where('instances.imageId', '=', imageId)
      .execute()
    return rows.map((row) => row.id)
  }

  /** All instances that have any. */
  async instanceIds(): Promise<string[]> {
    const rows = await this.#db.selectFrom('instanceDisks').select('instanceId').distinct().execute()
    return rows.map((row) => row.instanceId)
  }

  async removeOf(instanceId: string): Promise<void> {
    await this.#db.deleteFrom('instanceDisks').where('instanceId', '=', instanceId).execute()
  }
}
