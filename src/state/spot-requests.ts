import type { Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import { zoneId } from './derived-filters.ts'
import { absent, type FilterRule, type FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { SpotRequestState, SpotRequestsTable } from './schema/spot.ts'

export type SpotRequest = Selectable<SpotRequestsTable>

/** How long a request that came to its end is still described (EC2: four hours). */
export const endedVisibleMs = 4 * 60 * 60 * 1000

/** What requests can be found by beside their own columns: the names of the facts. */
export const spotRequestFactNames = [
  'launch.block-device-mapping.delete-on-termination',
  'launch.block-device-mapping.device-name',
  'launch.block-device-mapping.snapshot-id',
  'launch.block-device-mapping.volume-size',
  'launch.block-device-mapping.volume-type',
  'launch.group-id',
  'launch.group-name',
  'launch.image-id',
  'launch.instance-type',
  'launch.key-name',
  'launch.monitoring-enabled',
  'network-interface.addresses.primary',
  'network-interface.delete-on-termination',
  'network-interface.description',
  'network-interface.device-index',
  'network-interface.group-id',
  'network-interface.private-ip-address',
  'network-interface.subnet-id',
  'spot-price',
] as const

export type SpotRequestFacts = { [Name in (typeof spotRequestFactNames)[number]]?: readonly string[] }

const fact = (name: string): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('spotRequestFacts as f')
        .select('f.value')
        .whereRef('f.requestId', '=', 'spotRequests.id' as never)
        .where('f.name', '=', name)
        .where(match('f.value')),
    ),
})

const filters: FilterRules = {
  ...absent(
    'availability-zone-group',
    'fault-code',
    'fault-message',
    'launch-group',
    'launch.kernel-id',
    'launch.ramdisk-id',
    'network-interface.network-interface-id',
  ),
  ...Object.fromEntries(spotRequestFactNames.map((name) => [name, fact(name)])),
  tags: { tagsOf: 'spotRequests.id' },
  'create-time': { time: 'spotRequests.createdAt' },
  'instance-id': { column: 'spotRequests.instanceId' },
  'launched-availability-zone': { column: 'spotRequests.launchedZone' },
  'launched-availability-zone-id': zoneId('spotRequests.launchedZone'),
  'product-description': { constant: 'Linux/UNIX' },
  'spot-instance-request-id': { column: 'spotRequests.id' },
  state: { column: 'spotRequests.state' },
  'status-code': { column: 'spotRequests.statusCode' },
  'status-message': { column: 'spotRequests.statusMessage' },
  type: { column: 'spotRequests.type' },
  'valid-from': { time: 'spotRequests.validFrom' },
  'valid-until': { time: 'spotRequests.validUntil' },
}

export class SpotRequestRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** All of them with the same facts. */
  async insert(rows: readonly SpotRequest[], facts: SpotRequestFacts): Promise<void> {
    await insertRows(this.#db, 'spotRequests', rows)
    const values = Object.entries(facts).flatMap(([name, texts]) =>
      [...new Set(texts)].map((value) => ({ name, value })),
    )
    const factRows = rows.flatMap(({ id: requestId }) => values.map((value) => ({ requestId, ...value })))
    await insertRows(this.#db, 'spotRequestFacts', factRows)
  }

  get(id: string): Promise<SpotRequest | undefined> {
    return this.#db.selectFrom('spotRequests').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<SpotRequest[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('spotRequests')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  /** Changes the request only if its state is one of `from`; whether it did. */
  async move(id: string, from: readonly SpotRequestState[], patch: Partial<SpotRequestsTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('spotRequests')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** The oldest first. */
  list(region: string, request: ListRequest & { nowMs: number }): Promise<Page<SpotRequest>> {
    const query = this.#db
      .selectFrom('spotRequests')
      .selectAll()
      .where('spotRequests.accountId', '=', request.accountId)
      .where('spotRequests.region', '=', region)
      .where((eb) =>
        eb.or([
          eb('spotRequests.endedAt', 'is', null),
          eb('spotRequests.endedAt', '>', request.nowMs - endedVisibleMs),
        ]),
      )
    const order = { time: 'spotRequests.createdAt', id: 'spotRequests.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
