/** ModifyVolume: a volume grows, or changes its type and figures, at rest and under a running guest. */
import { KilnError } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Flag } from '../../state/schema.ts'
import type { VolumeModification } from '../../state/volume-modifications.ts'
import type { Volume } from '../../state/volumes.ts'
import { listAsked } from '../asked-ids.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { volumeLimits } from './volume-limits.ts'
import { checkMultiAttach, isProvisioned, type VolumeShape, volumeParameters, volumeShape } from './volume-types.ts'
import type { Volumes } from './volumes.ts'

export interface ModifyVolumeRequest {
  volumeId: string
  sizeGib: number | null
  volumeType: string | null
  iops: number | null
  throughput: number | null
  multiAttach: boolean | null
}

const modifyKind = 'modify-volume'

export class VolumeModifications {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
    deps.operations.register(modifyOperation(deps, volumes))
  }

  async modify(scope: Scope, request: ModifyVolumeRequest): Promise<VolumeModification> {
    const { state, operations, clock } = this.#deps
    const { volumeId } = request
    const modification = await state.transaction(async (tx) => {
      const volume = await this.#volumes.get(scope, volumeId, tx)
      if (volume.state !== 'available' && volume.state !== 'in-use') {
        throw new KilnError('IncorrectState', `Volume '${volumeId}' is '${volume.state}' and cannot be modified.`)
      }
      const before = await tx.volumeModifications.get(volumeId)
      if (before?.state === 'modifying') {
        throw new KilnError('IncorrectModificationState', `Volume ${volumeId} is being modified already.`)
      }
      const target = targetOf(volume, request)
      const multiAttach = multiAttachOf(volume, target, request)
      const row = { ...modificationOf(volume, target), targetMultiAttach: multiAttach, startedAt: clock.now() }
      await tx.volumes.update(volumeId, { multiAttach })
      await tx.volumeModifications.put(row)
      await operations.enqueue(tx, { kind: modifyKind, subjectId: volumeId, ...scope, input: {} })
      return row
    })
    operations.wake()
    return modification
  }

  /** Throws InvalidVolumeModification.NotFound for a volume that was never modified. */
  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<VolumeModification>> {
    const { state } = this.#deps
    const list = async (what: typeof request) => {
      const page = await state.volumeModifications.list(scope.region, { ...what, accountId: scope.accountId })
      return { ...page, items: page.items.map((row) => ({ ...row, id: row.volumeId })) }
    }
    return await listAsked(
      list,
      request,
      ([id]) => new KilnError('InvalidVolumeModification.NotFound', `Modification for volume '${id}' does not exist.`),
    )
  }
}

/** Figures that were provisioned stay with their type; those that follow from the size follow the new one. */
function targetOf(volume: Volume, { sizeGib, volumeType, iops, throughput }: ModifyVolumeRequest): VolumeShape {
  if (sizeGib !== null && sizeGib < volume.sizeGib) {
    throw new KilnError(
      'InvalidParameterValue',
      `New size cannot be smaller than existing size: Size ${sizeGib} is below ${volume.sizeGib}`,
    )
  }
  const type = volumeType ?? volume.volumeType
  const keeps = type === volume.volumeType && isProvisioned(type)
  return volumeShape(
    {
      sizeGib: sizeGib ?? volume.sizeGib,
      volumeType: type,
      iops: iops ?? (keeps ? volume.iops : null),
      throughput: throughput ?? (keeps ? volume.throughput : null),
    },
    volumeParameters,
  )
}

/** Source: "Attach an EBS volume to multiple EC2 instances using Multi-Attach" in the EBS user guide. */
function multiAttachOf(volume: Volume, target: VolumeShape, { multiAttach }: ModifyVolumeRequest): Flag {
  const { id, volumeType, state } = volume
  const wanted = multiAttach ?? volume.multiAttach === 1
  if (wanted) checkMultiAttach(target.volumeType)
  if (wanted && volume.multiAttach === 1 && target.volumeType !== volumeType) {
    throw new KilnError(
      'InvalidParameterCombination',
      `The type of '${id}', enabled for Multi-Attach, cannot be changed`,
    )
  }
  if (wanted !== (volume.multiAttach === 1)) {
    if (target.volumeType !== 'io2') {
      throw new KilnError('InvalidParameterCombination', 'Multi-Attach can be changed after creation for io2 only')
    }
    if (state !== 'available') throw new KilnError('IncorrectState', `Volume '${id}' is attached: detach it first`)
  }
  if (wanted && state === 'in-use' && target.sizeGib > volume.sizeGib) {
    throw new KilnError(
      'UnsupportedOperation',
      `Volume '${id}' is enabled for Multi-Attach and can grow (Size) only while no instance has it`,
    )
  }
  return wanted ? 1 : 0
}

function modificationOf(
  volume: Volume,
  target: VolumeShape,
): Omit<VolumeModification, 'startedAt' | 'targetMultiAttach'> {
  return {
    volumeId: volume.id,
    state: 'modifying',
    statusMessage: null,
    originalSizeGib: volume.sizeGib,
    originalType: volume.volumeType,
    originalIops: volume.iops,
    originalThroughput: volume.throughput,
    originalMultiAttach: volume.multiAttach,
    targetSizeGib: target.sizeGib,
    targetType: target.volumeType,
    targetIops: target.iops,
    targetThroughput: target.throughput,
    endedAt: null,
  }
}

function modifyOperation(deps: CloudDeps, volumes: Volumes): OperationKind<Record<string, never>, unknown> {
  const { state, machines, clock } = deps

  /** What the running guest may do from now on. */
  async function applyLimits(volume: Volume, instanceId: string | null): Promise<void> {
    if (!deps.enforcesVolumeLimits) return
    if (volume.multiAttach === 1 && (await deps.sharedDisks.isServed(volume.id))) {
      await deps.sharedDisks.limit(volume.id, volumeLimits(volume))
    }
    if (instanceId === null) return
    if ((await machines.inspect(instanceId)).state === 'absent') return
    await machines.limitDisk(instanceId, volume.id, volumeLimits(volume))
  }

  return {
    kind: modifyKind,
    lane: 'volumes',
    steps: [
      {
        name: 'apply',
        async run({ subjectId: volumeId }) {
          await volumes.disks.holding(volumeId, async (instanceId) => {
            const modification = await state.volumeModifications.get(volumeId)
            if (!modification) throw new OperationFailure(`volume ${volumeId} is gone`)
            await volumes.disks.growHeld(instanceId, volumeId)
            const { targetType: volumeType, targetIops: iops, targetThroughput: throughput } = modification
            await state.volumes.update(volumeId, { volumeType, iops, throughput })
            await applyLimits((await state.volumes.get(volumeId))!, instanceId)
          })
        },
      },
      {
        name: 'complete',
        run: ({ subjectId }) =>
          state.volumeModifications.update(subjectId, { state: 'completed', endedAt: clock.now() }),
      },
    ],
    async fail({ subjectId }, { step, message }) {
      const statusMessage = `${step}: ${message}`
      await state.volumeModifications.update(subjectId, { state: 'failed', statusMessage, endedAt: clock.now() })
    },
  }
}
