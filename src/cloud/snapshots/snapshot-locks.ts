/** Locks keep a snapshot from being deleted until their time is over. Source: "Amazon EBS snapshot lock" in the EBS user guide. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Filter } from '../../state/filters.ts'
import type { Page, PageRequest } from '../../state/listing.ts'
import type { SnapshotLock } from '../../state/snapshot-locks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Snapshots } from './snapshots.ts'

export type LockState = 'compliance' | 'compliance-cooloff' | 'governance' | 'expired'

export interface LockView extends SnapshotLock {
  lockState: LockState
  /** Null while the snapshot is pending: the duration begins when it is completed. */
  startsAt: number | null
  expiresAt: number | null
}

export interface LockRequest {
  mode: 'governance' | 'compliance'
  coolOffHours: number | null
  /** One of the two. */
  durationDays: number | null
  expirationDate: number | null
}

const hourMs = 3600_000
const dayMs = 24 * hourMs

export function lockView(lock: SnapshotLock, nowMs: number): LockView {
  const startsAt = lock.completedAt === null ? null : Math.max(lock.completedAt, lock.durationFrom)
  const expiresAt = lock.expirationDate ?? (startsAt === null ? null : startsAt + lock.durationDays * dayMs)
  return { ...lock, startsAt, expiresAt, lockState: stateOf(lock, expiresAt, nowMs) }
}

function stateOf({ mode, coolOffUntil }: SnapshotLock, expiresAt: number | null, nowMs: number): LockState {
  if (expiresAt !== null && expiresAt <= nowMs) return 'expired'
  if (mode === 'governance') return 'governance'
  return coolOffUntil !== null && coolOffUntil > nowMs ? 'compliance-cooloff' : 'compliance'
}

/** Throws OperationNotPermitted while the snapshot is locked. */
export async function checkNotLocked(tx: Repositories, snapshotId: string, nowMs: number): Promise<void> {
  const lock = await tx.snapshotLocks.get(snapshotId)
  if (!lock || lock.snapshotState === 'error') return
  const { lockState, expiresAt } = lockView(lock, nowMs)
  if (lockState === 'expired') return
  const until = expiresAt === null ? '' : ` until ${new Date(expiresAt).toISOString()}`
  throw new KilnError(
    'OperationNotPermitted',
    `The snapshot '${snapshotId}' is locked (${lockState})${until} and cannot be deleted`,
  )
}

export class SnapshotLocks {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots

  constructor(deps: CloudDeps, snapshots: Snapshots) {
    this.#deps = deps
    this.#snapshots = snapshots
  }

  /** Locks the snapshot, or changes its lock as far as the lock allows that. */
  async lock(scope: Scope, snapshotId: string, request: LockRequest): Promise<LockView> {
    const { state, clock } = this.#deps
    const now = clock.now()
    checkRequest(request, now)
    const snapshot = await this.#snapshots.owned(scope, snapshotId)
    if (snapshot.state !== 'pending' && snapshot.state !== 'completed') {
      throw new KilnError('IncorrectState', `The snapshot '${snapshotId}' is ${snapshot.state} and cannot be locked`)
    }
    return state.transaction(async (tx) => {
      const present = await tx.snapshotLocks.get(snapshotId)
      const before = present && lockView(present, now)
      const { mode, coolOffHours, expirationDate } = request
      const row = {
        ...{ snapshotId, mode, coolOffHours, expirationDate },
        durationDays: request.durationDays ?? Math.ceil((expirationDate! - now) / dayMs),
        coolOffUntil: coolOffHours === null ? null : now + coolOffHours * hourMs,
        createdAt: before && before.lockState !== 'expired' ? before.createdAt : now,
        durationFrom: now,
      }
      const { accountId, state: snapshotState, completedAt } = snapshot
      const after = lockView({ ...row, accountId, snapshotState, completedAt }, now)
      if (before?.lockState === 'compliance') checkExtension(before, after)
      await tx.snapshotLocks.put(row)
      return after
    })
  }

  /** Throws OperationNotPermitted once a compliance lock can no longer be taken back. */
  async unlock(scope: Scope, snapshotId: string): Promise<void> {
    const { state, clock } = this.#deps
    await this.#snapshots.owned(scope, snapshotId)
    await state.transaction(async (tx) => {
      const lock = await tx.snapshotLocks.get(snapshotId)
      const lockState = lock && lockView(lock, clock.now()).lockState
      if (lockState === undefined || lockState === 'expired') {
        throw new KilnError('IncorrectState', `The snapshot '${snapshotId}' is not locked`)
      }
      if (lockState === 'compliance') {
        throw new KilnError(
          'OperationNotPermitted',
          `The snapshot '${snapshotId}' is locked in compliance mode and its cooling-off period is over: it cannot be unlocked`,
        )
      }
      await tx.snapshotLocks.remove(snapshotId)
    })
  }

  /** Locks of the account's own snapshots, those too whose time is over. Asked for by id, unlocked ones are left out. */
  async list(
    scope: Scope,
    request: { ids?: readonly string[]; filters: readonly Filter[]; page: PageRequest },
  ): Promise<Page<LockView>> {
    const { state, clock } = this.#deps
    for (const id of request.ids ?? []) await this.#snapshots.owned(scope, id)
    const nowMs = clock.now()
    const { ids, filters } = request
    const page = ids ? undefined : request.page
    const found = await state.snapshotLocks.list(scope.region, {
      accountId: scope.accountId,
      ids,
      filters,
      page,
      nowMs,
    })
    return { ...found, items: found.items.map((lock) => lockView(lock, nowMs)) }
  }
}

function checkRequest({ mode, coolOffHours, durationDays, expirationDate }: LockRequest, now: number): void {
  if ((durationDays === null) === (expirationDate === null)) {
    throw new KilnError(
      'InvalidParameterCombination',
      'Either LockDuration or ExpirationDate must be specified, and not both',
    )
  }
  if (mode === 'governance' && coolOffHours !== null) {
    throw new KilnError(
      'InvalidParameterCombination',
      'CoolOffPeriod cannot be specified with LockMode governance: there is no cooling-off period',
    )
  }
  checkRange('CoolOffPeriod', coolOffHours, limits.snapshotLockCoolOffHours)
  checkRange('LockDuration', durationDays, limits.snapshotLockDays)
  if (expirationDate === null) return
  const latest = now + limits.snapshotLockDays * dayMs
  if (expirationDate > now && expirationDate <= latest) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${new Date(expirationDate).toISOString()}) for parameter ExpirationDate is invalid. It must be in the future, within ${limits.snapshotLockDays} days.`,
  )
}

function checkRange(name: string, value: number | null, max: number): void {
  if (value === null || (value >= 1 && value <= max)) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${value}) for parameter ${name} is invalid. It must be between 1 and ${max}.`,
  )
}

/** A compliance lock whose cooling-off period is over can only be made to last longer. */
function checkExtension(before: LockView, after: LockView): void {
  const { snapshotId } = before
  if (after.coolOffHours !== null) {
    throw new KilnError(
      'InvalidParameterCombination',
      `CoolOffPeriod cannot be specified: the cooling-off period of snapshot '${snapshotId}' is over`,
    )
  }
  const endsEarlier = (after.expiresAt ?? Number.MAX_SAFE_INTEGER) < (before.expiresAt ?? Number.MAX_SAFE_INTEGER)
  const isShorter = endsEarlier || (before.expiresAt === null && after.durationDays < before.durationDays)
  if (after.mode === 'compliance' && !isShorter) return
  throw new KilnError(
    'OperationNotPermitted',
    `The snapshot '${snapshotId}' is locked in compliance mode: its lock can only be extended`,
  )
}
