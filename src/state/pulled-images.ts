import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { PulledImagesTable } from './schema/pulled-images.ts'

export type PulledImage = Selectable<PulledImagesTable>

export class PulledImageRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** Takes the place of what was pulled into the region under that name before. */
  async put(row: PulledImage): Promise<void> {
    const { region: _, accountId: __, imageName: ___, ...rest } = row
    await this.#db
      .insertInto('pulledImages')
      .values(row)
      .onConflict((conflict) => conflict.columns(['region', 'accountId', 'imageName']).doUpdateSet(rest))
      .execute()
  }

  /** Of all regions, the newest first. */
  list(): Promise<PulledImage[]> {
    return this.#db
      .selectFrom('pulledImages')
      .selectAll()
      .orderBy('pulledAt', 'desc')
      .orderBy('imageName')
      .orderBy('region')
      .execute()
  }

  /** What other regions have had, and this one never: a row for each region that may give it, the oldest first. */
  missingIn(region: string): Promise<PulledImage[]> {
    return this.#db
      .selectFrom('pulledImages as there')
      .selectAll('there')
      .where('there.region', '!=', region)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('pulledImages as here')
              .select('here.imageId')
              .where('here.region', '=', region)
              .whereRef('here.accountId', '=', 'there.accountId')
              .whereRef('here.imageName', '=', 'there.imageName'),
          ),
        ),
      )
      .orderBy('there.pulledAt')
      .orderBy('there.region')
      .execute()
  }
}
