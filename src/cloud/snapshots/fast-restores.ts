/**
 * Fast snapshot restores: which snapshots an account has ready for new volumes, zone by zone. Source: "Amazon EBS fast
 * snapshot restore" in the EBS user guide.
 */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { zonesOf } from '../../lib/regions.ts'
import { type FastSnapshotRestore, fastRestoreIsOn } from '../../state/fast-snapshot-restores.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { VolumeDisks } from '../volumes/volume-disks.ts'
import { isArchived } from './archived.ts'
import {
  disableKind,
  disableOperation,
  enableKind,
  enableOperation,
  lifecycleReason,
  removeUnwanted,
} from './fast-restore-operations.ts'
import type { Snapshot, Snapshots } from './snapshots.ts'

export interface FastRestoreRequest {
  snapshotIds: readonly string[]
  zones: readonly string[]
}

/** What became of a snapshot in a zone: the others are not concerned when one cannot be. */
export type FastRestoreOutcome = { snapshotId: string; zone: string } & (
  | { restore: FastSnapshotRestore }
  | { refusal: KilnError }
)

const userReason = 'Client.UserInitiated'
/** How long it is still told that a snapshot was ready once. */
const disabledToldMs = 24 * 3600_000

export class FastRestores {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots

  constructor(deps: CloudDeps, snapshots: Snapshots, disks: VolumeDisks) {
    this.#deps = deps
    this.#snapshots = snapshots
    deps.operations.register(enableOperation(deps, disks))
    deps.operations.register(disableOperation(deps))
  }

  enable(scope: Scope, request: FastRestoreRequest): Promise<FastRestoreOutcome[]> {
    return this.#each(scope, request, async (snapshotId, zone) => {
      const snapshot = await this.#snapshots.get(scope, snapshotId)
      checkSnapshot(snapshot)
      return await this.#deps.state.transaction((tx) => this.#enable(tx, scope, snapshot, zone))
    })
  }

  disable(scope: Scope, request: FastRestoreRequest): Promise<FastRestoreOutcome[]> {
    return this.#each(scope, request, (snapshotId, zone) =>
      this.#deps.state.transaction(async (tx) => {
        const row = await tx.fastSnapshotRestores.of(scope.accountId, snapshotId, zone)
        if (row && fastRestoreIsOn.includes(row.state)) return await this.#disable(tx, row, userReason)
        throw new KilnError(
          'IncorrectState',
          `Fast snapshot restores are not enabled for snapshot '${snapshotId}' in ${zone}: ${row?.state ?? 'disabled'}`,
        )
      }),
    )
  }

  list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<FastSnapshotRestore>> {
    return this.#deps.state.fastSnapshotRestores.list(scope.region, { ...request, accountId: scope.accountId })
  }

  /** One pass: what is no longer the account's to use is not kept ready. */
  async follow(): Promise<void> {
    const { state, clock, operations } = this.#deps
    for (const row of await state.fastSnapshotRestores.allOn()) {
      const { accountId, region, snapshotId } = row
      const [snapshot] = await state.snapshots.readable(region, accountId, [snapshotId])
      const tier = (await state.snapshotTiers.of([snapshotId])).get(snapshotId)
      if (snapshot && !isArchived(tier, clock.now())) continue
      await state.transaction((tx) => this.#disable(tx, row, lifecycleReason))
      operations.wake()
    }
  }

  async removeLeftovers(): Promise<void> {
    await removeUnwanted(this.#deps)
    await this.#deps.state.fastSnapshotRestores.removeDisabledBefore(this.#deps.clock.now() - disabledToldMs)
  }

  async #each(
    scope: Scope,
    { snapshotIds, zones }: FastRestoreRequest,
    change: (snapshotId: string, zone: string) => Promise<FastSnapshotRestore>,
  ): Promise<FastRestoreOutcome[]> {
    const outcomes: FastRestoreOutcome[] = []
    for (const snapshotId of new Set(snapshotIds)) {
      for (const zone of new Set(zones)) {
        try {
          if (!zonesOf(scope.region).includes(zone)) {
            throw new KilnError('InvalidZone.NotFound', `The zone '${zone}' does not exist (AvailabilityZone).`)
          }
          outcomes.push({ snapshotId, zone, restore: await change(snapshotId, zone) })
        } catch (error) {
          if (!isKilnError(error)) throw error
          outcomes.push({ snapshotId, zone, refusal: error })
        }
      }
    }
    this.#deps.operations.wake()
    return outcomes
  }

  async #enable(tx: Repositories, scope: Scope, snapshot: Snapshot, zone: string): Promise<FastSnapshotRestore> {
    const { random, clock, operations } = this.#deps
    const { accountId, region } = scope
    const present = await tx.fastSnapshotRestores.of(accountId, snapshot.id, zone)
    if (present && fastRestoreIsOn.includes(present.state)) return present
    if (present?.state === 'disabling') {
      throw new KilnError('IncorrectState', `Fast restores of '${snapshot.id}' in ${zone} are just being disabled`)
    }
    const others = (await tx.fastSnapshotRestores.snapshotsOn(accountId, region)).filter((id) => id !== snapshot.id)
    if (others.length >= limits.fastRestoresPerRegion) {
      throw new KilnError(
        'ResourceLimitExceeded',
        `At most ${limits.fastRestoresPerRegion} snapshots can be enabled for fast restores in ${region}`,
      )
    }
    const row: FastSnapshotRestore = {
      ...{ id: newId('fastSnapshotRestore', random), accountId, region, zone, snapshotId: snapshot.id },
      ...{ rootHash: snapshot.rootHash!, state: 'enabling', reason: userReason, enablingAt: clock.now() },
      ...{ optimizingAt: null, enabledAt: null, disablingAt: null, disabledAt: null },
    }
    await tx.fastSnapshotRestores.put(row)
    const about = { subjectId: snapshot.id, accountId, region, input: { id: row.id } }
    await operations.enqueue(tx, { kind: enableKind, ...about })
    return row
  }

  async #disable(tx: Repositories, row: FastSnapshotRestore, reason: string): Promise<FastSnapshotRestore> {
    const { clock, operations } = this.#deps
    const { id, snapshotId: subjectId, accountId, region } = row
    const change = { state: 'disabling', reason, disablingAt: clock.now() } as const
    if (!(await tx.fastSnapshotRestores.move(id, fastRestoreIsOn, change))) return row
    await operations.enqueue(tx, { kind: disableKind, subjectId, accountId, region, input: { id } })
    return { ...row, ...change }
  }
}

function checkSnapshot({ id, state, sizeGib }: Snapshot): void {
  if (state !== 'completed')
    throw new KilnError('IncorrectState', `The snapshot '${id}' is ${state}, and not completed`)
  if (sizeGib > limits.fastRestoreGibMax) {
    throw new KilnError(
      'InvalidParameterValue',
      `The snapshot '${id}' is larger than fast restores allow: ${sizeGib} GiB, at most ${limits.fastRestoreGibMax}`,
    )
  }
}
