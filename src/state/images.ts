import { type Insertable, type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import { absent, type FilterRules, type Match } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { ImageBlockDevicesTable, ImageState, ImagesTable } from './schema.ts'

export type Image = Selectable<ImagesTable>
export type ImageBlockDevice = Selectable<ImageBlockDevicesTable>

const ofDevice = (column: keyof ImageBlockDevicesTable, kind: Parameters<Match>[1] = 'text'): FilterRules[string] => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('imageBlockDevices as d')
        .select('d.imageId')
        .whereRef('d.imageId', '=', 'images.id')
        .where(match(`d.${column}`, kind)),
    ),
})

/** Marketplace, watermarks, scans, kernels: no image here has any. */
const absentOfImages = absent(
  'free-tier-eligible',
  'image-allowed',
  'image-watermark.source-image-creation-time',
  'image-watermark.source-image-id',
  'image-watermark.source-image-region',
  'image-watermark.watermark-creation-time',
  'image-watermark.watermark-key',
  'instance-type-specification.supported-instance-type',
  'instance-type-specification.unsupported-instance-type',
  'kernel-id',
  'platform',
  'product-code',
  'product-code.type',
  'public-ssm-parameter-name',
  'ramdisk-id',
  'scan-result.finding-scan-date',
  'scan-result.highest-finding-severity-label',
  ...['critical', 'high', 'informational', 'low', 'medium'].map(
    (severity) => `scan-result.${severity}-fix-available-since`,
  ),
)

const imageFilters: FilterRules = {
  ...absentOfImages,
  tags: { tagsOf: 'images.id' },
  architecture: { column: 'images.architecture' },
  'block-device-mapping.delete-on-termination': ofDevice('deleteOnTermination', 'number'),
  'block-device-mapping.device-name': ofDevice('deviceName'),
  'block-device-mapping.encrypted': ofDevice('encrypted', 'number'),
  'block-device-mapping.snapshot-id': ofDevice('snapshotId'),
  'block-device-mapping.volume-size': ofDevice('sizeGib', 'number'),
  'block-device-mapping.volume-type': ofDevice('volumeType'),
  'boot-mode': { column: 'images.bootMode' },
  'creation-date': { time: 'images.createdAt' },
  description: { column: 'images.description' },
  'ena-support': { number: 'images.enaSupport' },
  hypervisor: { constant: 'xen' },
  'image-id': { column: 'images.id' },
  'image-type': { constant: 'machine' },
  'is-public': {
    truth: (eb) =>
      eb.exists(
        eb
          .selectFrom('imageLaunchPermissions as p')
          .select('p.imageId')
          .whereRef('p.imageId', '=', 'images.id')
          .where('p.grantee', '=', 'all'),
      ),
  },
  'manifest-location': {
    text: (eb) =>
      sql`coalesce(${eb.ref('images.imageLocation' as never)}, coalesce(${eb.ref('images.ownerAlias' as never)}, ${eb.ref('images.accountId' as never)}) || '/' || ${eb.ref('images.name' as never)})`,
  },
  name: { column: 'images.name' },
  'owner-alias': { column: 'images.ownerAlias' },
  'owner-id': { column: 'images.accountId' },
  'platform-details': { column: 'images.platformDetails' },
  'root-device-name': { column: 'images.rootDeviceName' },
  'root-device-type': { column: 'images.rootDeviceType' },
  'source-instance-id': { column: 'images.sourceInstanceId' },
  'source-image-id': { column: 'images.sourceImageId' },
  'source-image-region': { column: 'images.sourceImageRegion' },
  'sriov-net-support': { column: 'images.sriovNetSupport' },
  state: { column: 'images.state' },
  'state-reason-code': { column: 'images.stateReasonCode' },
  'state-reason-message': { column: 'images.stateReasonMessage' },
  'virtualization-type': { column: 'images.virtualizationType' },
}

export interface ImageListRequest extends ListRequest {
  /** Account ids or aliases; an image of any of them. */
  owners?: readonly string[]
  /** Account ids or `all`: images that say so in their launch permissions. */
  executableBy?: readonly string[]
}

export class ImageRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(
    row: Insertable<ImagesTable>,
    devices: readonly Omit<ImageBlockDevice, 'imageId' | 'ordinal'>[],
    grantees: readonly string[] = [],
  ): Promise<void> {
    await this.#db.insertInto('images').values(row).execute()
    if (devices.length > 0) {
      await this.#db
        .insertInto('imageBlockDevices')
        .values(devices.map((device, ordinal) => ({ ...device, imageId: row.id, ordinal })))
        .execute()
    }
    await this.grant(row.id, grantees)
  }

  get(id: string): Promise<Image | undefined> {
    return this.#db.selectFrom('images').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** The image of that name which is pending or available: a name is used once by an account in a region. */
  named(accountId: string, region: string, name: string): Promise<Image | undefined> {
    return this.#db
      .selectFrom('images')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('name', '=', name)
      .where('state', 'in', ['pending', 'available'])
      .executeTakeFirst()
  }

  async update(id: string, patch: Partial<ImagesTable>): Promise<void> {
    await this.#db.updateTable('images').set(patch).where('id', '=', id).execute()
  }

  /** Changes the state only if it is one of `from`; whether it did. */
  async move(id: string, from: readonly ImageState[], patch: Partial<ImagesTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('images')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  async setDevice(imageId: string, deviceName: string, patch: Partial<ImageBlockDevicesTable>): Promise<void> {
    await this.#db
      .updateTable('imageBlockDevices')
      .set(patch)
      .where('imageId', '=', imageId)
      .where('deviceName', '=', deviceName)
      .execute()
  }

  /** Devices by image id, in the order of the mapping. */
  async devicesOf(imageIds: readonly string[]): Promise<Map<string, ImageBlockDevice[]>> {
    const devices = new Map<string, ImageBlockDevice[]>(imageIds.map((id) => [id, []]))
    if (imageIds.length === 0) return devices
    const rows = await this.#db
      .selectFrom('imageBlockDevices')
      .selectAll()
      .where('imageId', 'in', [...imageIds])
      .orderBy('ordinal')
      .execute()
    for (const row of rows) devices.get(row.imageId)?.push(row)
    return devices
  }

  async granteesOf(imageIds: readonly string[]): Promise<Map<string, string[]>> {
    const grantees = new Map<string, string[]>(imageIds.map((id) => [id, []]))
    if (imageIds.length === 0) return grantees
    const rows = await this.#db
      .selectFrom('imageLaunchPermissions')
      .selectAll()
      .where('imageId', 'in', [...imageIds])
      .orderBy('grantee')
      .execute()
    for (const row of rows) grantees.get(row.imageId)?.push(row.grantee)
    return grantees
  }

  async grant(imageId: string, grantees: readonly string[]): Promise<void> {
    if (grantees.length === 0) return
    await this.#db
      .insertInto('imageLaunchPermissions')
      .values(grantees.map((grantee) => ({ imageId, grantee })))
      .onConflict((conflict) => conflict.columns(['imageId', 'grantee']).doNothing())
      .execute()
  }

  /** Takes the launch permission from those grantees, or from all of them when none are named. */
  async revoke(imageId: string, grantees?: readonly string[]): Promise<void> {
    let query = this.#db.deleteFrom('imageLaunchPermissions').where('imageId', '=', imageId)
    if (grantees) query = query.where('grantee', 'in', [...grantees])
    await query.execute()
  }

  /** Images that are pending or available and name the snapshot. */
  async usingSnapshot(snapshotId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('imageBlockDevices')
      .innerJoin('images', 'images.id', 'imageBlockDevices.imageId')
      .select('images.id')
      .where('imageBlockDevices.snapshotId', '=', snapshotId)
      .where('images.state', 'in', ['pending', 'available'])
      .orderBy('images.id')
      .execute()
    return rows.map((row) => row.id)
  }

  /** Every use of a snapshot by an image of the region that is pending or available. */
  snapshotUses(region: string): Promise<{ imageId: string; snapshotId: string }[]> {
    return this.#db
      .selectFrom('imageBlockDevices')
      .innerJoin('images', 'images.id', 'imageBlockDevices.imageId')
      .select(['images.id as imageId', 'imageBlockDevices.snapshotId'])
      .where('images.region', '=', region)
      .where('images.state', 'in', ['pending', 'available'])
      .where('imageBlockDevices.snapshotId', 'is not', null)
      .orderBy('images.id')
      .$narrowType<{ snapshotId: string }>()
      .execute()
  }

  /** Images that `accountId` may see: its own, the public ones, and those shared with it. */
  list(region: string, request: ImageListRequest): Promise<Page<Image>> {
    const { accountId, owners, executableBy } = request
    let query = this.#db
      .selectFrom('images')
      .selectAll()
      .where('images.region', '=', region)
      .where('images.state', 'in', ['pending', 'available', 'failed'])
      .where((eb) =>
        eb.or([
          eb('images.accountId', '=', accountId),
          eb('images.id', 'in', (sub) =>
            sub
              .selectFrom('imageLaunchPermissions as p')
              .select('p.imageId')
              .where('p.grantee', 'in', ['all', accountId]),
          ),
        ]),
      )
    if (owners) {
      query = query.where((eb) =>
        eb.or([eb('images.accountId', 'in', [...owners]), eb('images.ownerAlias', 'in', [...owners])]),
      )
    }
    if (executableBy) {
      query = query.where('images.id', 'in', (eb) =>
        eb
          .selectFrom('imageLaunchPermissions as p')
          .select('p.imageId')
          .where('p.grantee', 'in', [...executableBy])
          // With whom else an image is shared is told to its owner alone.
          .where((also) =>
            also.or([also('p.grantee', 'in', ['all', accountId]), also('images.accountId', '=', accountId)]),
          ),
      )
    }
    const order = { time: 'images.createdAt', id: 'images.id' }
    return listPage(query, imageFilters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
