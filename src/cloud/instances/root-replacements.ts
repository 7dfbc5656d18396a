/**
 * CreateReplaceRootVolumeTask: which root a running instance gets in the place of its own. The exchange is an operation.
 * Source: "Replace the root volume for an Amazon EC2 instance without stopping it" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { Instance } from '../../state/instances.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { ReplaceRootState, ReplaceRootVolumeTask } from '../../state/replace-root-volume-tasks.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { Volume, VolumeAttachment } from '../../state/volumes.ts'
import { listAsked } from '../asked-ids.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Encryption } from '../encryption/encryption.ts'
import type { Images } from '../images/images.ts'
import { checkNotArchived } from '../snapshots/archived.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { checkInitializationRate, enqueueInitialization } from '../volumes/initialization.ts'
import { isProvisioned, volumeParameters, volumeShape } from '../volumes/volume-types.ts'
import type { Volumes } from '../volumes/volumes.ts'
import type { MachineRuns } from './machine-runs.ts'
import { ownedInstance } from './owned-instance.ts'
import { type ReplaceRootInput, replaceRootKind, replaceRootOperation } from './root-replacement-operation.ts'

export interface ReplaceRootRequest {
  instanceId: string
  /** At most one of the three is given; none means the state in which the instance was launched. */
  snapshotId: string | null
  imageId: string | null
  volumeId: string | null
  initializationRate: number | null
  deletesOld: boolean
  tags: readonly Tag[]
  clientToken?: ClientToken
}

/** What a new root is made of. */
interface NewRoot {
  snapshot: Snapshot
  keyId: string | null
}

const action = 'CreateReplaceRootVolumeTask'
export const underWay: readonly ReplaceRootState[] = ['pending', 'in-progress', 'failing']

export class RootReplacements {
  readonly #deps: CloudDeps
  readonly #images: Images
  readonly #snapshots: Snapshots
  readonly #volumes: Volumes
  readonly #encryption: Encryption

  constructor(
    deps: CloudDeps,
    runs: MachineRuns,
    rooms: { images: Images; snapshots: Snapshots; volumes: Volumes; encryption: Encryption },
  ) {
    this.#deps = deps
    this.#images = rooms.images
    this.#snapshots = rooms.snapshots
    this.#volumes = rooms.volumes
    this.#encryption = rooms.encryption
    deps.operations.register(replaceRootOperation(deps, runs, rooms.volumes))
  }

  /** The task, `pending`. Throws for an instance that does not run, and for a root that is not of its lineage. */
  async create(scope: Scope, request: ReplaceRootRequest): Promise<ReplaceRootVolumeTask> {
    const { state, operations } = this.#deps
    const before = await answeredBefore(state, scope, action, request.clientToken)
    if (before) return (await state.replaceRootVolumeTasks.get(before[0]!))!
    checkCombination(request)
    const instance = await ownedInstance(state, scope, request.instanceId)
    const snapshot = request.volumeId === null ? await this.#sourceOf(scope, instance, request) : undefined
    const keyId = snapshot ? await this.#keyOfNewRoot(scope, instance, snapshot) : null
    const [id] = await createOnce(this.#deps, scope, action, request.clientToken, async (tx) => [
      await this.#write(tx, scope, request, snapshot && { snapshot, keyId }),
    ])
    operations.wake()
    return (await state.replaceRootVolumeTasks.get(id!))!
  }

  list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<ReplaceRootVolumeTask>> {
    const { accountId, region } = scope
    return listAsked(
      (what: typeof request) => this.#deps.state.replaceRootVolumeTasks.list(region, { ...what, accountId }),
      request,
      ([id]) =>
        new KilnError(
          'InvalidParameterValue',
          `The replace root volume task '${id}' does not exist (ReplaceRootVolumeTaskId)`,
        ),
    )
  }

  async #sourceOf(scope: Scope, instance: Instance, request: ReplaceRootRequest): Promise<Snapshot> {
    if (request.imageId !== null) return await this.#snapshotOfImage(scope, instance, request.imageId)
    if (request.snapshotId === null) return await this.#launchSnapshot(instance)
    const snapshot = await this.#snapshots.get(scope, request.snapshotId)
    await checkLineage(this.#deps.state, instance, snapshot)
    return snapshot
  }

  async #snapshotOfImage(scope: Scope, instance: Instance, imageId: string): Promise<Snapshot> {
    const image = await this.#images.launchable(scope, imageId)
    for (const trait of ['architecture', 'virtualizationType', 'platformDetails', 'rootDeviceType'] as const) {
      if (image[trait] === instance[trait]) continue
      throw new KilnError(
        'InvalidParameterValue',
        `The image '${imageId}' (ImageId) has another ${trait} than instance '${instance.id}': ${image[trait]} instead of ${instance[trait]}`,
      )
    }
    const root = image.devices.find((device) => device.deviceName === image.rootDeviceName)
    if (root?.snapshotId) return await this.#snapshots.ofImage(root.snapshotId)
    throw new KilnError('InvalidParameterValue', `The image '${imageId}' (ImageId) has no snapshot of a root`)
  }

  /** A launch cannot change its image's root snapshot, so the image tells what it was, also once it is deregistered. */
  async #launchSnapshot({ id, imageId }: Instance): Promise<Snapshot> {
    const { images } = this.#deps.state
    const image = await images.get(imageId)
    const devices = (await images.devicesOf([imageId])).get(imageId)!
    const root = devices.find((device) => device.deviceName === image?.rootDeviceName)
    if (root?.snapshotId) return await this.#snapshots.ofImage(root.snapshotId)
    throw new KilnError(
      'UnsupportedOperation',
      `It is not known any more what instance '${id}' was launched of: name a SnapshotId or an ImageId`,
    )
  }

  /** The named key of a root that is made; null for one that is not encrypted. */
  async #keyOfNewRoot(scope: Scope, instance: Instance, snapshot: Snapshot): Promise<string | null> {
    const { state } = this.#deps
    const old = (await state.volumes.get((await rootOf(state, instance)).volumeId))!
    return await this.#encryption.keyForReplacement(scope, old, snapshot)
  }

  async #write(
    tx: Repositories,
    scope: Scope,
    request: ReplaceRootRequest,
    source: NewRoot | undefined,
  ): Promise<string> {
    const { clock, random, operations } = this.#deps
    const { instanceId, imageId, deletesOld, tags } = request
    const instance = (await tx.instances.get(instanceId))!
    const attachment = await rootOf(tx, instance)
    const old = (await tx.volumes.get(attachment.volumeId))!
    const newVolumeId = source
      ? await this.#makeVolume(tx, scope, old, source, request)
      : await this.#takeVolume(tx, scope, instance, old, request.volumeId!)
    const id = newId('replaceRootVolumeTask', random)
    await tx.replaceRootVolumeTasks.insert({
      ...{ ...scope, id, instanceId, imageId, newVolumeId, state: 'pending', oldVolumeId: old.id },
      snapshotId: source?.snapshot.id ?? null,
      isVolumeMade: source ? 1 : 0,
      deletesOld: deletesOld ? 1 : 0,
      startedAt: clock.now(),
      completedAt: null,
    })
    await tx.tags.put({ id, type: 'replace-root-volume-task', ...scope }, tags)
    const input: ReplaceRootInput = { taskId: id, attachedAt: attachment.attachedAt }
    await operations.enqueue(tx, { kind: replaceRootKind, subjectId: instanceId, ...scope, input })
    return id
  }

  /** As large, as fast and of the same type as the old one. */
  async #makeVolume(
    tx: Repositories,
    scope: Scope,
    old: Volume,
    { snapshot: source, keyId }: NewRoot,
    request: ReplaceRootRequest,
  ): Promise<string> {
    await checkNotArchived(tx, this.#deps.clock, [source.id])
    const snapshot = await tx.snapshots.get(source.id)
    if (snapshot?.state === 'deleted') {
      throw new KilnError('InvalidSnapshot.NotFound', `The snapshot '${source.id}' does not exist.`)
    }
    if (snapshot?.state !== 'completed') {
      throw new KilnError('IncorrectState', `The snapshot '${source.id}' is ${snapshot?.state}, and not completed`)
    }
    const keeps = isProvisioned(old.volumeType)
    const shape = volumeShape(
      {
        sizeGib: Math.max(old.sizeGib, snapshot.sizeGib),
        volumeType: old.volumeType,
        iops: keeps ? old.iops : null,
        throughput: keeps ? old.throughput : null,
      },
      volumeParameters,
    )
    const { initializationRate } = request
    const origin = { snapshotId: snapshot.id, baseRoot: snapshot.rootHash, initializationRate }
    const sealing = await this.#encryption.volumeColumns(tx, keyId, snapshot)
    const about = { ...shape, ...sealing, ...origin, zone: old.zone }
    const id = await this.#volumes.insertNew(tx, scope, about, 'creating')
    await enqueueInitialization(this.#deps, tx, scope, { id, initializationRate })
    return id
  }

  /** From now on nobody else can have it. */
  async #takeVolume(
    tx: Repositories,
    scope: Scope,
    instance: Instance,
    old: Volume,
    volumeId: string,
  ): Promise<string> {
    const volume = await this.#volumes.get(scope, volumeId, tx)
    if (volume.zone !== instance.zone) {
      throw new KilnError(
        'InvalidVolume.ZoneMismatch',
        `The volume '${volumeId}' is not in the same availability zone as instance '${instance.id}'`,
      )
    }
    if (old.encrypted === 1 && volume.encrypted === 0) {
      throw new KilnError(
        'InvalidParameterValue',
        `The volume '${volumeId}' (VolumeId) must be encrypted, as the root of instance '${instance.id}' is`,
      )
    }
    if (volume.multiAttach === 1) {
      throw new KilnError(
        'InvalidParameterValue',
        `The volume '${volumeId}' (VolumeId) is enabled for Multi-Attach and cannot be a root`,
      )
    }
    if (await tx.volumes.move(volumeId, ['available'], 'in-use')) return volumeId
    throw new KilnError('IncorrectState', `The volume '${volumeId}' is '${volume.state}', and not 'available'`)
  }
}

function checkCombination({ snapshotId, imageId, volumeId, initializationRate }: ReplaceRootRequest): void {
  const given = [snapshotId && 'SnapshotId', imageId && 'ImageId', volumeId && 'VolumeId'].filter(Boolean)
  if (given.length > 1) {
    throw new KilnError('InvalidParameterCombination', `Only one of the parameters ${given.join(', ')} can be given`)
  }
  checkInitializationRate(initializationRate, 'VolumeInitializationRate', volumeId === null)
}

/** The attachment of the root of an instance that can have it replaced now. */
async function rootOf(tx: Repositories, instance: Instance): Promise<VolumeAttachment> {
  if (instance.rootDeviceType !== 'ebs') {
    throw new KilnError('UnsupportedOperation', `The root of instance '${instance.id}' is no EBS volume`)
  }
  if (instance.state !== 'running') {
    throw new KilnError('IncorrectInstanceState', `The instance '${instance.id}' is ${instance.state}, and not running`)
  }
  const busy = (await tx.replaceRootVolumeTasks.ofInstance(instance.id)).find((task) => underWay.includes(task.state))
  if (busy) {
    throw new KilnError(
      'IncorrectState',
      `The root of instance '${instance.id}' is being replaced by task '${busy.id}'`,
    )
  }
  const attachments = await tx.volumes.attachmentsOfInstances([instance.id])
  const root = attachments.find((row) => row.deviceName === instance.rootDeviceName && row.state === 'attached')
  if (root) return root
  throw new KilnError('IncorrectState', `The instance '${instance.id}' has no volume attached at its root device`)
}

/** Snapshots of the root that it has, of the roots that it had before, and what the present one was made of. */
async function checkLineage(state: Repositories, instance: Instance, snapshot: Snapshot): Promise<void> {
  const attachments = await state.volumes.attachmentsOfInstances([instance.id])
  const root = attachments.find((row) => row.deviceName === instance.rootDeviceName)
  const present = root && (await state.volumes.get(root.volumeId))
  const former = await state.replaceRootVolumeTasks.ofInstance(instance.id)
  const volumes = new Set([present?.id, ...former.map((task) => task.oldVolumeId)])
  if (volumes.has(snapshot.volumeId) || present?.snapshotId === snapshot.id) return
  throw new KilnError(
    'InvalidParameterValue',
    `The snapshot '${snapshot.id}' (SnapshotId) was not taken of the root volume of instance '${instance.id}'`,
  )
}
