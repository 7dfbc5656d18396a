/** Images: who sees them, how they are made, copied, shared and deregistered. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { regionNames } from '../../lib/regions.ts'
import type { Image, ImageBlockDevice, ImageListRequest } from '../../state/images.ts'
import type { Instance } from '../../state/instances.ts'
import type { Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { idsWithout, listAsked } from '../asked-ids.ts'
import { checkImageEncryption, type Device, type DeviceWish, mergeDevices } from '../block-devices.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { CopyPlan, Encryption, EncryptionWish } from '../encryption/encryption.ts'
import type { MachineRuns } from '../instances/machine-runs.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import { checkOneInstant } from '../snapshots/instance-volumes.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { mergeTags } from '../tags.ts'
import type { FreezeRequest, VolumeDisks } from '../volumes/volume-disks.ts'
import { copyImageKind, copyImageOperation } from './copy-operation.ts'
import { type CreateImageInput, createImageKind, createImageOperation } from './create-operation.ts'
import { checkDescription, checkImageText, checkNameIsFree } from './image-names.ts'
import { checkDevicesOfInstance, devicesOf } from './instance-devices.ts'

export interface ImageView extends Image {
  devices: ImageBlockDevice[]
  isPublic: boolean
}

export interface CreateImageRequest {
  instanceId: string
  name: string
  description: string | null
  noReboot: boolean
  devices: readonly DeviceWish[]
  imageTags: readonly Tag[]
  snapshotTags: readonly Tag[]
}

export interface RegisterImageRequest {
  name: string
  description: string | null
  architecture: string
  rootDeviceName: string
  devices: readonly DeviceWish[]
  virtualizationType: string
  enaSupport: boolean
  sriovNetSupport: string | null
  bootMode: string | null
  imdsSupport: string | null
  tpmSupport: string | null
  tags: readonly Tag[]
}

export interface CopyImageRequest {
  sourceRegion: string
  sourceImageId: string
  name: string
  description: string | null
  copyTags: boolean
  encryption: EncryptionWish
  imageTags: readonly Tag[]
  snapshotTags: readonly Tag[]
  clientToken?: ClientToken
}

export type NewImage = Pick<
  Image,
  | 'name'
  | 'description'
  | 'architecture'
  | 'rootDeviceName'
  | 'virtualizationType'
  | 'enaSupport'
  | 'sriovNetSupport'
  | 'bootMode'
  | 'imdsSupport'
  | 'tpmSupport'
  | 'platformDetails'
> &
  Partial<Pick<Image, 'state' | 'sourceInstanceId' | 'sourceImageId' | 'sourceImageRegion'>>

export interface DeregistrationResult {
  snapshotId: string
  outcome: 'success' | 'skipped' | 'client-error'
}

export class Images {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots
  readonly #encryption: Encryption

  constructor(
    deps: CloudDeps,
    rooms: { snapshots: Snapshots; encryption: Encryption; disks: VolumeDisks; runs: MachineRuns },
  ) {
    this.#deps = deps
    this.#snapshots = rooms.snapshots
    this.#encryption = rooms.encryption
    deps.operations.register(createImageOperation(deps, rooms.disks, rooms.runs))
    deps.operations.register(copyImageOperation(deps))
  }

  async list(scope: Scope, request: Omit<ImageListRequest, 'accountId'>): Promise<Page<ImageView>> {
    const { accountId, region } = scope
    const page = await listAsked(
      (what: typeof request) => this.#deps.state.images.list(region, { ...what, accountId }),
      request,
      notFound,
    )
    return { ...page, items: await this.#views(page.items) }
  }

  async #views(images: readonly Image[]): Promise<ImageView[]> {
    const ids = images.map((image) => image.id)
    const devices = await this.#deps.state.images.devicesOf(ids)
    const grantees = await this.#deps.state.images.granteesOf(ids)
    return images.map((image) => ({
      ...image,
      devices: devices.get(image.id)!,
      isPublic: grantees.get(image.id)!.includes('all'),
    }))
  }

  /** An image that the account sees in its region. Throws InvalidAMIID.NotFound, or Unavailable for a former one. */
  async get(scope: Scope, id: string): Promise<ImageView> {
    const { accountId, region } = scope
    const { images } = this.#deps.state
    const { items } = await images.list(region, { accountId, ids: [id] })
    if (items.length > 0) return (await this.#views(items))[0]!
    const former = await images.get(id)
    if (former?.state !== 'deregistered' || former.accountId !== accountId || former.region !== region) {
      throw notFound([id])
    }
    throw new KilnError(
      'InvalidAMIID.Unavailable',
      `The image id '[${id}]' is no longer available: it was deregistered`,
    )
  }

  /** An image that can be launched. Throws InvalidAMIID.Unavailable for one that is not ready. */
  async launchable(scope: Scope, id: string): Promise<ImageView> {
    const image = await this.get(scope, id)
    if (image.state !== 'available') {
      throw new KilnError('InvalidAMIID.Unavailable', `The image ID '${id}' is not available: it is ${image.state}`)
    }
    return image
  }

  /** An image of the account's own. Throws AuthFailure for one that it only sees. */
  async owned(scope: Scope, id: string): Promise<ImageView> {
    const image = await this.get(scope, id)
    if (image.accountId !== scope.accountId) {
      throw new KilnError('AuthFailure', `Not authorized for image:${id}`)
    }
    return image
  }

  async setDescription(scope: Scope, id: string, description: string): Promise<void> {
    await this.owned(scope, id)
    checkDescription(description)
    await this.#deps.state.images.update(id, { description })
  }

  /** One-command image creation: every EBS volume of the instance, at one instant. */
  async create(scope: Scope, request: CreateImageRequest): Promise<string> {
    const { state, operations } = this.#deps
    checkImageText(request.name, request.description)
    const instance = await ownedInstance(state, scope, request.instanceId)
    if (instance.rootDeviceType !== 'ebs') {
      throw new KilnError(
        'InvalidParameterValue',
        `InstanceId '${instance.id}' has an instance-store root: bundle it instead of creating an image`,
      )
    }
    checkState(instance)
    const attachments = await state.volumes.attachmentsOfInstances([instance.id])
    const volumes = await state.volumes.many(attachments.map((attachment) => attachment.volumeId))
    const present = devicesOf(attachments, volumes)
    checkImageEncryption(present, request.devices)
    const devices = await mergeDevices(present, request.devices, (id) => this.#snapshots.get(scope, id))
    checkDevicesOfInstance(instance.rootDeviceName, present, devices)
    const taken = devices.filter((device) => device.sizeGib !== null && device.snapshotId === null)
    const names = new Set(taken.map((device) => device.deviceName))
    const takenIds = new Set(attachments.filter((row) => names.has(row.deviceName)).map((row) => row.volumeId))
    checkOneInstant(volumes.filter((volume) => takenIds.has(volume.id)))
    const sourceImage = await state.images.get(instance.imageId)
    const image = this.#newRow(scope, {
      name: request.name,
      description: request.description,
      architecture: instance.architecture,
      rootDeviceName: instance.rootDeviceName,
      virtualizationType: instance.virtualizationType,
      enaSupport: instance.enaSupport,
      sriovNetSupport: sourceImage?.sriovNetSupport ?? null,
      bootMode: instance.bootMode,
      imdsSupport: sourceImage?.imdsSupport ?? null,
      tpmSupport: sourceImage?.tpmSupport ?? null,
      platformDetails: instance.platformDetails,
      sourceInstanceId: instance.id,
      sourceImageId: instance.imageId,
      sourceImageRegion: scope.region,
    })
    await state.transaction(async (tx) => {
      // Once its snapshots are pending, an instance that is terminated keeps its volumes for them.
      checkState((await tx.instances.get(instance.id))!)
      await checkNameIsFree(tx, scope, request.name)
      const freeze: FreezeRequest[] = []
      for (const device of devices) {
        const volumeId = attachments.find((attachment) => attachment.deviceName === device.deviceName)?.volumeId
        if (!volumeId || device.snapshotId) continue
        const snapshot = await this.#snapshots.insertPending(tx, scope, {
          volume: volumes.find((row) => row.id === volumeId)!,
          description: `Created by CreateImage(${instance.id}) for ${image.id}`,
          tags: request.snapshotTags,
        })
        device.snapshotId = snapshot.id
        freeze.push({ volumeId, snapshotId: snapshot.id })
      }
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, request.imageTags)
      const reboot = !request.noReboot && instance.state === 'running'
      const input: CreateImageInput = { instanceId: instance.id, reboot, freeze }
      await operations.enqueue(tx, { kind: createImageKind, subjectId: image.id, ...scope, input })
    })
    operations.wake()
    return image.id
  }

  /**
   * Registers an image from snapshots. It is available at once: its blocks are already there. What `also` does is done in
   * the same transaction.
   */
  async register(
    scope: Scope,
    request: RegisterImageRequest,
    also: (tx: Repositories, imageId: string) => Promise<void> = async () => {},
  ): Promise<string> {
    checkImageText(request.name, request.description)
    checkImageEncryption([], request.devices)
    const devices = await mergeDevices([], request.devices, async (id) => {
      const snapshot = await this.#snapshots.get(scope, id)
      if (snapshot.state === 'completed') return snapshot
      throw new KilnError('IncorrectState', `Snapshot '${id}' is ${snapshot.state}: an image needs a completed one`)
    })
    const root = devices.find((device) => device.deviceName === request.rootDeviceName)
    if (!root?.snapshotId) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `BlockDeviceMapping has no snapshot for the root device ${request.rootDeviceName} (RootDeviceName)`,
      )
    }
    const { name, description, architecture, rootDeviceName, virtualizationType } = request
    const { sriovNetSupport, bootMode, imdsSupport, tpmSupport } = request
    const image = this.#newRow(scope, {
      ...{ name, description, architecture, rootDeviceName, virtualizationType },
      ...{ sriovNetSupport, bootMode, imdsSupport, tpmSupport },
      enaSupport: request.enaSupport ? 1 : 0,
      platformDetails: 'Linux/UNIX',
      state: 'available',
    })
    await this.#deps.state.transaction(async (tx) => {
      await checkNameIsFree(tx, scope, name)
      await this.#snapshots.checkUsable(tx, scope, devices)
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, request.tags)
      await also(tx, image.id)
    })
    return image.id
  }

  /** Copies an image of `sourceRegion` into the scope's region: new snapshots, new image, own blocks. */
  async copy(scope: Scope, request: CopyImageRequest): Promise<string> {
    const before = await answeredBefore(this.#deps.state, scope, 'CopyImage', request.clientToken)
    if (before) return before[0]!
    checkImageText(request.name, request.description)
    const { sourceRegion, sourceImageId } = request
    if (!Object.hasOwn(regionNames, sourceRegion)) {
      throw new KilnError('InvalidRegion', `Invalid value '${sourceRegion}' for SourceRegion.`)
    }
    const sourceScope = { ...scope, region: sourceRegion }
    const source = await this.get(sourceScope, sourceImageId)
    if (source.state !== 'available') {
      throw new KilnError('InvalidAMIID.Unavailable', `The image '${sourceImageId}' (SourceImageId) is ${source.state}`)
    }
    await this.checkStorage(sourceScope, source)
    const plans = await this.#copyPlans(scope, request.encryption, source)
    const { operations } = this.#deps
    const [id] = await createOnce(this.#deps, scope, 'CopyImage', request.clientToken, async (tx) => {
      await checkNameIsFree(tx, scope, request.name)
      const image = this.#newRow(scope, {
        ...source,
        name: request.name,
        description: request.description ?? source.description,
        state: 'pending',
        sourceInstanceId: null,
        sourceImageId,
        sourceImageRegion: sourceRegion,
      })
      const devices: Device[] = []
      for (const { imageId: _, ordinal: __, ...device } of source.devices) {
        const snapshot = device.snapshotId ? await tx.snapshots.get(device.snapshotId) : undefined
        const description = `Copied for DestinationAmi ${image.id} from SourceAmi ${sourceImageId} for SourceSnapshot ${snapshot?.id}.`
        const tags = request.snapshotTags
        const about = snapshot && { source: snapshot, plan: plans.get(snapshot.id)!, description, tags }
        const copy = about && (await this.#snapshots.insertCopy(tx, scope, about))
        devices.push({ ...device, snapshotId: copy?.id ?? null, encrypted: copy?.encrypted ?? device.encrypted })
      }
      const ownTags = request.copyTags ? (await tx.tags.of(scope.accountId, [sourceImageId])).get(sourceImageId)! : []
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, mergeTags(ownTags, request.imageTags))
      await operations.enqueue(tx, { kind: copyImageKind, subjectId: image.id, ...scope, input: {} })
      return [image.id]
    })
    operations.wake()
    return id!
  }

  async #copyPlans(scope: Scope, wish: EncryptionWish, source: ImageView): Promise<Map<string, CopyPlan>> {
    const ids = source.devices.flatMap((device) => device.snapshotId ?? [])
    const plans = new Map<string, CopyPlan>()
    for (const snapshot of await this.#deps.state.snapshots.many(ids)) {
      plans.set(snapshot.id, await this.#encryption.planCopy(scope, wish, snapshot))
    }
    return plans
  }

  /** A launch permission lets nobody read the snapshots: a copy of the image needs their own. */
  async checkStorage({ region, accountId }: Scope, source: ImageView): Promise<void> {
    const ids = source.devices.flatMap((device) => device.snapshotId ?? [])
    const readable = await this.#deps.state.snapshots.readable(region, accountId, ids)
    if (idsWithout(ids, readable).length === 0) return
    throw new KilnError(
      'InvalidRequest',
      `You do not have permission to access the storage of this ami (${source.id}): its snapshots are not shared with you`,
    )
  }

  #newRow(scope: Scope, about: NewImage): Image {
    return {
      ...scope,
      id: newId('image', this.#deps.random),
      ownerAlias: null,
      name: about.name,
      description: about.description,
      state: about.state ?? 'pending',
      stateReasonCode: null,
      stateReasonMessage: null,
      architecture: about.architecture,
      rootDeviceName: about.rootDeviceName,
      rootDeviceType: 'ebs',
      ...{ imageLocation: null, manifestHash: null, bundleBytes: null, rootBytes: null },
      virtualizationType: about.virtualizationType,
      enaSupport: about.enaSupport,
      sriovNetSupport: about.sriovNetSupport,
      bootMode: about.bootMode,
      imdsSupport: about.imdsSupport,
      tpmSupport: about.tpmSupport,
      platformDetails: about.platformDetails,
      sourceInstanceId: about.sourceInstanceId ?? null,
      sourceImageId: about.sourceImageId ?? null,
      sourceImageRegion: about.sourceImageRegion ?? null,
      createdAt: this.#deps.clock.now(),
      deregisteredAt: null,
    }
  }

  /** The row of an image that is `pending`: whoever inserts it sees to its snapshots. */
  pendingRow(scope: Scope, about: NewImage): Image {
    return this.#newRow(scope, about)
  }

  /** Instances of the image go on; nothing new is launched from it. Its snapshots stay unless they are asked away. */
  async deregister(scope: Scope, id: string, deleteSnapshots: boolean): Promise<DeregistrationResult[]> {
    const image = await this.owned(scope, id)
    await this.#deps.state.transaction((tx) => this.#retire(tx, image))
    if (!deleteSnapshots) return []
    const results: DeregistrationResult[] = []
    for (const snapshotId of image.devices.flatMap((device) => device.snapshotId ?? [])) {
      results.push({ snapshotId, outcome: await this.#deleteSnapshot(scope, snapshotId) })
    }
    return results
  }

  async #retire(tx: Repositories, image: Image): Promise<void> {
    const patch = { state: 'deregistered', deregisteredAt: this.#deps.clock.now() } as const
    if (!(await tx.images.move(image.id, ['pending', 'available', 'failed'], patch))) throw notFound([image.id])
    await tx.tags.removeAll(image.id)
  }

  async #deleteSnapshot(scope: Scope, snapshotId: string): Promise<DeregistrationResult['outcome']> {
    try {
      await this.#snapshots.delete(scope, snapshotId)
      return 'success'
    } catch (error) {
      if (!(error instanceof KilnError)) throw error
      return error.code === 'InvalidSnapshot.InUse' ? 'skipped' : 'client-error'
    }
  }
}

function checkState({ id, state }: Instance): void {
  if (state === 'running' || state === 'stopped') return
  throw new KilnError(
    'IncorrectState',
    `Instance '${id}' is ${state}: an image is created of one that is running or stopped`,
  )
}

const notFound = (ids: readonly string[]) =>
  new KilnError(
    'InvalidAMIID.NotFound',
    ids.length === 1 ? `The image id '[${ids[0]}]' does not exist` : `The image ids '[${ids.join(', ')}]' do not exist`,
  )
