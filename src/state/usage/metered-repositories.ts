/**
 * The repositories of what costs something, each write followed by its meters in the same transaction. A write that
 * changes nothing of what is charged is passed on as it is.
 */
import type { Db } from '../database.ts'
import { ElasticAddressRepository } from '../elastic-addresses.ts'
import { FastSnapshotRestoreRepository } from '../fast-snapshot-restores.ts'
import { InstanceRepository } from '../instances.ts'
import { NetworkRepository } from '../networks.ts'
import { ObjectRepository } from '../objects.ts'
import { SnapshotTierRepository } from '../snapshot-tiers.ts'
import { SnapshotRepository } from '../snapshots.ts'
import { TagRepository } from '../tags.ts'
import { VolumeRepository } from '../volumes.ts'
import { fastRestoreName, type MeteredKind, type Metering } from './metering.ts'
import { refreshTags } from './usage-resources.ts'

type Arguments<Class, Method extends keyof Class> = Class[Method] extends (...args: infer Args) => unknown
  ? Args
  : never

/** A write of the plain repository and the meters of those resources, in one transaction. */
type Followed<Plain> = <T>(ids: readonly string[], write: (plain: Plain) => Promise<T>) => Promise<T>

function followed<Plain>(db: Db, metering: Metering, kind: MeteredKind, plainOn: (tx: Db) => Plain): Followed<Plain> {
  return (ids, write) =>
    metering.change(db, async (tx) => {
      const result = await write(plainOn(tx))
      await metering.follow(tx, kind, ids)
      return result
    })
}

const touches = (patch: object, names: readonly string[]) => names.some((name) => name in patch)

export class MeteredInstances extends InstanceRepository {
  readonly #followed: Followed<InstanceRepository>

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#followed = followed(db, metering, 'instance', (tx) => new InstanceRepository(tx))
  }

  override insert(...[rows]: Arguments<InstanceRepository, 'insert'>): Promise<void> {
    return this.#followed(
      rows.map((row) => row.id),
      (plain) => plain.insert(rows),
    )
  }

  override update(...[id, patch]: Arguments<InstanceRepository, 'update'>): Promise<void> {
    if (!touches(patch, ['state', 'instanceType'])) return super.update(id, patch)
    return this.#followed([id], (plain) => plain.update(id, patch))
  }

  override move(...[id, from, patch]: Arguments<InstanceRepository, 'move'>): Promise<boolean> {
    if (!touches(patch, ['state', 'instanceType'])) return super.move(id, from, patch)
    return this.#followed([id], (plain) => plain.move(id, from, patch))
  }
}

export class MeteredVolumes extends VolumeRepository {
  readonly #followed: Followed<VolumeRepository>

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#followed = followed(db, metering, 'volume', (tx) => new VolumeRepository(tx))
  }

  override insert(...[row, layer]: Arguments<VolumeRepository, 'insert'>): Promise<void> {
    return this.#followed([row.id], (plain) => plain.insert(row, layer))
  }

  override insertAttached(...[rows]: Arguments<VolumeRepository, 'insertAttached'>): Promise<void> {
    return this.#followed(
      rows.map(({ volume }) => volume.id),
      (plain) => plain.insertAttached(rows),
    )
  }

  override update(...[id, patch]: Arguments<VolumeRepository, 'update'>): Promise<void> {
    if (!touches(patch, ['state', 'sizeGib', 'volumeType', 'iops', 'throughput'])) return super.update(id, patch)
    return this.#followed([id], (plain) => plain.update(id, patch))
  }

  override move(...[id, from, to]: Arguments<VolumeRepository, 'move'>): Promise<boolean> {
    return this.#followed([id], (plain) => plain.move(id, from, to))
  }

  override remove(...[id]: Arguments<VolumeRepository, 'remove'>): Promise<void> {
    return this.#followed([id], (plain) => plain.remove(id))
  }
}

export class MeteredSnapshots extends SnapshotRepository {
  readonly #followed: Followed<SnapshotRepository>

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#followed = followed(db, metering, 'snapshot', (tx) => new SnapshotRepository(tx))
  }

  override insert(...[row]: Arguments<SnapshotRepository, 'insert'>): Promise<void> {
    return this.#followed([row.id], (plain) => plain.insert(row))
  }

  override update(...[id, patch]: Arguments<SnapshotRepository, 'update'>): Promise<void> {
    if (!touches(patch, chargedOfSnapshot)) return super.update(id, patch)
    return this.#followed([id], (plain) => plain.update(id, patch))
  }

  override move(...[id, from, patch]: Arguments<SnapshotRepository, 'move'>): Promise<boolean> {
    if (!touches(patch, chargedOfSnapshot)) return super.move(id, from, patch)
    return this.#followed([id], (plain) => plain.move(id, from, patch))
  }
}

const chargedOfSnapshot = ['state', 'dataBytes', 'chargedBytes']

export class MeteredSnapshotTiers extends SnapshotTierRepository {
  readonly #followed: Followed<SnapshotTierRepository>

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#followed = followed(db, metering, 'snapshot', (tx) => new SnapshotTierRepository(tx))
  }

  override put(...[row]: Arguments<SnapshotTierRepository, 'put'>): Promise<void> {
    return this.#followed([row.snapshotId], (plain) => plain.put(row))
  }

  override move(...[id, from, patch]: Arguments<SnapshotTierRepository, 'move'>): Promise<boolean> {
    if (!touches(patch, ['tier', 'restoreExpiresAt'])) return super.move(id, from, patch)
    return this.#followed([id], (plain) => plain.move(id, from, patch))
  }
}

export class MeteredFastRestores extends FastSnapshotRestoreRepository {
  readonly #db: Db
  readonly #metering: Metering

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#db = db
    this.#metering = metering
  }

  override put(...[row]: Arguments<FastSnapshotRestoreRepository, 'put'>): Promise<void> {
    return this.#metering.change(this.#db, async (tx) => {
      await new FastSnapshotRestoreRepository(tx).put(row)
      await this.#metering.follow(tx, 'fast-restore', [fastRestoreName(row)])
    })
  }

  override move(...[id, from, patch]: Arguments<FastSnapshotRestoreRepository, 'move'>): Promise<boolean> {
    return this.#metering.change(this.#db, async (tx) => {
      const plain = new FastSnapshotRestoreRepository(tx)
      const moved = await plain.move(id, from, patch)
      const row = await plain.get(id)
      if (row) await this.#metering.follow(tx, 'fast-restore', [fastRestoreName(row)])
      return moved
    })
  }
}

export class MeteredNetworks extends NetworkRepository {
  readonly #db: Db
  readonly #metering: Metering

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#db = db
    this.#metering = metering
  }

  override insertInterfaces(...[rows, groupIds]: Arguments<NetworkRepository, 'insertInterfaces'>): Promise<void> {
    return this.#followed(
      rows.map(({ id }) => id),
      (plain) => plain.insertInterfaces(rows, groupIds),
    )
  }

  override updateInterface(...[id, patch]: Arguments<NetworkRepository, 'updateInterface'>): Promise<void> {
    if (!('publicIp' in patch)) return super.updateInterface(id, patch)
    return this.#followed([id], (plain) => plain.updateInterface(id, patch))
  }

  override async deleteInterfaces(...[ids]: Arguments<NetworkRepository, 'deleteInterfaces'>): Promise<void> {
    const nics = await this.interfaces(ids)
    await this.#metering.change(this.#db, async (tx) => {
      await new NetworkRepository(tx).deleteInterfaces(ids)
      await this.#metering.follow(tx, 'address', ids)
      // An address that the account keeps is its own again.
      const kept = nics.flatMap(({ allocationId }) => allocationId ?? [])
      await this.#metering.follow(tx, 'elastic-address', kept)
    })
  }

  #followed<T>(ids: readonly string[], write: (plain: NetworkRepository) => Promise<T>): Promise<T> {
    return this.#metering.change(this.#db, async (tx) => {
      const result = await write(new NetworkRepository(tx))
      await this.#metering.follow(tx, 'address', ids)
      return result
    })
  }
}

export class MeteredElasticAddresses extends ElasticAddressRepository {
  readonly #followed: Followed<ElasticAddressRepository>

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#followed = followed(db, metering, 'elastic-address', (tx) => new ElasticAddressRepository(tx))
  }

  override insert(...[row]: Arguments<ElasticAddressRepository, 'insert'>): Promise<void> {
    return this.#followed([row.id], (plain) => plain.insert(row))
  }

  override associate(...[id, place]: Arguments<ElasticAddressRepository, 'associate'>): Promise<void> {
    return this.#followed([id], (plain) => plain.associate(id, place))
  }

  override remove(...[id]: Arguments<ElasticAddressRepository, 'remove'>): Promise<void> {
    return this.#followed([id], (plain) => plain.remove(id))
  }
}

export class MeteredObjects extends ObjectRepository {
  readonly #db: Db
  readonly #metering: Metering

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#db = db
    this.#metering = metering
  }

  override put(...[row, contents]: Arguments<ObjectRepository, 'put'>): Promise<string[]> {
    return this.#followed(row, row.sizeBytes, (plain) => plain.put(row, contents))
  }

  override remove(...[bucketId, key]: Arguments<ObjectRepository, 'remove'>): Promise<string[]> {
    return this.#followed({ bucketId, key }, 0, (plain) => plain.remove(bucketId, key))
  }

  #followed<T>(
    { bucketId, key }: { bucketId: string; key: string },
    sizeBytes: number,
    write: (plain: ObjectRepository) => Promise<T>,
  ): Promise<T> {
    return this.#metering.change(this.#db, async (tx) => {
      const plain = new ObjectRepository(tx)
      const before = (await plain.get(bucketId, key))?.sizeBytes ?? 0
      const result = await write(plain)
      await this.#metering.followBucket(tx, bucketId, sizeBytes - before)
      return result
    })
  }
}

/** Tags cost nothing, but costs are asked for by tag, also when the resource is no more. */
export class MeteredTags extends TagRepository {
  readonly #db: Db
  readonly #metering: Metering

  constructor(db: Db, metering: Metering) {
    super(db)
    this.#db = db
    this.#metering = metering
  }

  override put(...[resource, tags]: Arguments<TagRepository, 'put'>): Promise<void> {
    return this.#followed([resource.id], (plain) => plain.put(resource, tags))
  }

  override insertAll(...[resources, tags]: Arguments<TagRepository, 'insertAll'>): Promise<void> {
    if (tags.length === 0) return Promise.resolve()
    return this.#followed(
      resources.map(({ id }) => id),
      (plain) => plain.insertAll(resources, tags),
    )
  }

  override remove(...[accountId, resourceId, tags]: Arguments<TagRepository, 'remove'>): Promise<void> {
    return this.#followed([resourceId], (plain) => plain.remove(accountId, resourceId, tags))
  }

  #followed<T>(ids: readonly string[], write: (plain: TagRepository) => Promise<T>): Promise<T> {
    return this.#metering.change(this.#db, async (tx) => {
      const result = await write(new TagRepository(tx))
      await refreshTags(tx, ids)
      return result
    })
  }
}
