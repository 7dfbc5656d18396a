/** AttachVolume and DetachVolume: which volume may go where, and what the request answers. The disks follow as operations. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Instance } from '../../state/instances.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume, VolumeAttachment } from '../../state/volumes.ts'
import { devicePattern } from '../block-devices.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { diskKeyOf } from '../encryption/data-keys.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import { attachKind, attachOperation, detachKind, detachOperation } from './attachment-operations.ts'
import type { Volumes } from './volumes.ts'

export interface DetachRequest {
  volumeId: string
  instanceId: string | null
  deviceName: string | null
  force: boolean
}

export class VolumeAttachments {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
    deps.operations.register(attachOperation(deps, volumes.disks))
    deps.operations.register(detachOperation(deps, volumes.disks))
  }

  /** The attachment, `attaching`; a running guest sees the disk a moment later. */
  async attach(
    scope: Scope,
    { volumeId, instanceId, deviceName }: { volumeId: string; instanceId: string; deviceName: string },
  ): Promise<VolumeAttachment> {
    const { state, operations, clock } = this.#deps
    if (!devicePattern.test(deviceName)) {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${deviceName}) for parameter device is invalid. ${deviceName} is not a valid EBS device name.`,
      )
    }
    // Told now: the operation could only take the volume away again.
    await diskKeyOf(this.#deps, await this.#volumes.get(scope, volumeId))
    const attachment = await state.transaction(async (tx) => {
      const volume = await this.#volumes.get(scope, volumeId, tx)
      const instance = await ownedInstance(tx, scope, instanceId)
      const others = await tx.volumes.attachmentsOfVolumes([volumeId])
      checkPair(volume, instance, others)
      if (volume.multiAttach === 1 && deviceName === instance.rootDeviceName) {
        throw new KilnError(
          'InvalidParameterValue',
          `Volume '${volumeId}' is enabled for Multi-Attach and cannot be the root of an instance: device ${deviceName}`,
        )
      }
      const volumes = await tx.volumes.attachmentsOfInstances([instanceId])
      const present = [...volumes, ...(await tx.instanceDisks.of([instanceId]))]
      const link = { volumeId, instanceId, deviceName, slot: freeSlot(instance, present, deviceName) }
      const row = { ...link, state: 'attaching', deleteOnTermination: 0, attachedAt: clock.now() } as const
      const from = volume.multiAttach === 1 ? (['available', 'in-use'] as const) : (['available'] as const)
      if (!(await tx.volumes.move(volumeId, from, 'in-use'))) throw alreadyAttached(volumeId)
      await tx.volumes.attach(row)
      await operations.enqueue(tx, { kind: attachKind, subjectId: volumeId, ...scope, input: { instanceId } })
      return row
    })
    operations.wake()
    return attachment
  }

  /** The attachment, `detaching` until the guest has let go of the disk. */
  async detach(scope: Scope, request: DetachRequest): Promise<VolumeAttachment> {
    const { state, operations } = this.#deps
    const { volumeId, force } = request
    const attachment = await state.transaction(async (tx) => {
      const found = await this.#attachmentFor(tx, scope, request)
      const isLeaving = found.state === 'detaching' || found.state === 'busy'
      if (isLeaving && !force) {
        throw new KilnError('IncorrectState', `Volume '${volumeId}' is in the 'detaching' state already.`)
      }
      if (isLeaving) return found
      const { instanceId } = found
      await tx.volumes.updateAttachment(volumeId, instanceId, { state: 'detaching' })
      await operations.enqueue(tx, { kind: detachKind, subjectId: volumeId, ...scope, input: { instanceId, force } })
      return found
    })
    // The operation of an earlier request, which waits for the guest, then finds the disk gone.
    if (attachment.state === 'detaching' || attachment.state === 'busy') await this.#takeAway(attachment)
    operations.wake()
    return { ...attachment, state: 'detaching' }
  }

  async #takeAway({ instanceId, volumeId }: VolumeAttachment): Promise<void> {
    const { locks, machines } = this.#deps
    await locks.hold(instanceId, async () => {
      const isThere = (await machines.inspect(instanceId)).state !== 'absent'
      if (isThere) await machines.unplugDisk(instanceId, volumeId, { force: true })
    })
  }

  async #attachmentFor(tx: Repositories, scope: Scope, request: DetachRequest): Promise<VolumeAttachment> {
    const { volumeId, instanceId, deviceName } = request
    const volume = await this.#volumes.get(scope, volumeId, tx)
    const instance = instanceId === null ? undefined : await ownedInstance(tx, scope, instanceId)
    const attachments = await tx.volumes.attachmentsOfVolumes([volumeId])
    if (attachments.length === 0) {
      throw new KilnError('IncorrectState', `Volume '${volumeId}' is in the '${volume.state}' state.`)
    }
    if (attachments.length > 1 && instanceId === null) {
      throw new KilnError(
        'MissingParameter',
        `The request must contain the parameter InstanceId: volume '${volumeId}' is attached to several instances`,
      )
    }
    const found = attachments.find(
      (row) =>
        (instance === undefined || row.instanceId === instance.id) &&
        (deviceName === null || row.deviceName === deviceName),
    )
    if (!found) {
      const where = [instanceId && `instance '${instanceId}'`, deviceName && `device '${deviceName}'`]
      throw new KilnError(
        'InvalidAttachment.NotFound',
        `The volume '${volumeId}' is not attached to ${where.filter(Boolean).join(' as ')}.`,
      )
    }
    const holder = await tx.instances.get(found.instanceId)
    if (holder && holder.rootDeviceName === found.deviceName && holder.state !== 'stopped') {
      throw new KilnError(
        'OperationNotPermitted',
        `Unable to detach root volume '${volumeId}' from instance '${found.instanceId}': stop the instance first`,
      )
    }
    return found
  }
}

function checkPair(volume: Volume, instance: Instance, others: readonly VolumeAttachment[]): void {
  const isShared = volume.multiAttach === 1 && others.length > 0
  if (volume.state === 'in-use' && !isShared) throw alreadyAttached(volume.id)
  if (others.some((row) => row.instanceId === instance.id)) throw alreadyAttached(volume.id)
  if (others.length >= limits.instancesPerVolume) {
    throw new KilnError(
      'AttachmentLimitExceeded',
      `The volume '${volume.id}' is attached to as many instances as it can be: ${limits.instancesPerVolume}`,
    )
  }
  if (volume.state !== 'available' && volume.state !== 'in-use')
    throw new KilnError('IncorrectState', `${volume.id} is not 'available'.`)
  if (instance.state !== 'running' && instance.state !== 'stopped') {
    throw new KilnError('IncorrectState', `Instance '${instance.id}' is not 'running'.`)
  }
  if (volume.zone === instance.zone) return
  throw new KilnError(
    'InvalidVolume.ZoneMismatch',
    `The volume '${volume.id}' is not in the same availability zone as instance '${instance.id}'`,
  )
}

const alreadyAttached = (id: string) => new KilnError('VolumeInUse', `${id} is already attached to an instance`)

type Place = Pick<VolumeAttachment, 'deviceName' | 'slot'>

/** The root goes where the firmware boots from; all others into the lowest slot that is free. */
function freeSlot(instance: Instance, present: readonly Place[], deviceName: string): number {
  if (present.some((row) => row.deviceName === deviceName)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Invalid value '${deviceName}' for unixDevice. Attachment point ${deviceName} is already in use`,
    )
  }
  if (deviceName === instance.rootDeviceName) return 0
  const taken = new Set(present.map((row) => row.slot))
  for (let slot = 1; slot < limits.disksPerInstance; slot++) if (!taken.has(slot)) return slot
  throw new KilnError(
    'AttachmentLimitExceeded',
    `The instance '${instance.id}' has as many volumes as it can have: ${limits.disksPerInstance}`,
  )
}
