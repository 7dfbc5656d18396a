/** Which snapshots others are increments of. The rules stand in `cloud/snapshots/snapshot-charges.ts`. */
import type { Db } from './database.ts'
import type { Snapshot } from './snapshots.ts'

/** What a parent and its increment have in common. */
type Kin = Pick<Snapshot, 'id' | 'accountId' | 'region' | 'dataKeyId'>

export class SnapshotChargeRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** The one taken of the same volume before that came to be completed; it may be deleted since. */
  previousOfVolume({ id, volumeId, startedAt }: Snapshot): Promise<Snapshot | undefined> {
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('volumeId', '=', volumeId)
      .where('completedAt', 'is not', null)
      .where((eb) =>
        eb.or([eb('startedAt', '<', startedAt), eb.and([eb('startedAt', '=', startedAt), eb('id', '<', id)])]),
      )
      .orderBy('startedAt', 'desc')
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst()
  }

  /** The snapshot, if the other one can be charged as an increment of it. */
  livingParent(id: string, kin: Kin): Promise<Snapshot | undefined> {
    return this.#possibleParents(kin).where('id', '=', id).executeTakeFirst()
  }

  /** The newest copy of any of those snapshots that the other one can be charged as an increment of. */
  async newestCopy(sourceIds: readonly string[], kin: Kin): Promise<Snapshot | undefined> {
    if (sourceIds.length === 0) return undefined
    return await this.#possibleParents(kin)
      .where('copiedFromId', 'in', [...sourceIds])
      .orderBy('startedAt', 'desc')
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst()
  }

  /** Snapshots that are charged as increments of this one. */
  increments(parentId: string): Promise<Snapshot[]> {
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('chargeParentId', '=', parentId)
      .where('state', '=', 'completed')
      .orderBy('id')
      .execute()
  }

  /**
   * Those taken of the same volume after this one that were completed before it, and charged against what it is charged
   * against now. Whole ones that were ever archived have become whole by that, and stay so.
   */
  overtaking({ id, accountId, region, dataKeyId, volumeId, startedAt, chargeParentId }: Snapshot): Promise<Snapshot[]> {
    return this.#possibleParents({ id, accountId, region, dataKeyId })
      .where('volumeId', '=', volumeId)
      .where((eb) =>
        eb.or([eb('startedAt', '>', startedAt), eb.and([eb('startedAt', '=', startedAt), eb('id', '>', id)])]),
      )
      .where('chargeParentId', chargeParentId === null ? 'is' : '=', chargeParentId)
      .$if(chargeParentId === null, (query) =>
        query.where('id', 'not in', (eb) => eb.selectFrom('snapshotTiers').select('snapshotId')),
      )
      .orderBy('id')
      .execute()
  }

  #possibleParents({ id, accountId, region, dataKeyId }: Kin) {
    return this.#db
      .selectFrom('snapshots')
      .selectAll()
      .where('id', '!=', id)
      .where('state', '=', 'completed')
      .where('rootHash', 'is not', null)
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('dataKeyId', dataKeyId === null ? 'is' : '=', dataKeyId)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('snapshotTiers as t')
              .select('t.snapshotId')
              .whereRef('t.snapshotId', '=', 'snapshots.id')
              .where('t.tier', '=', 'archive'),
          ),
        ),
      )
  }
}
