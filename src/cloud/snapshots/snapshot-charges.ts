/**
 * What a snapshot in the standard tier is charged for: the bytes of its blocks (of volume, so 512 KiB each, zeros none)
 * that its charge parent (see `charge-parents.ts`) does not have at the same place; without one, all of them. So what
 * several snapshots share is charged once, and where a snapshot goes, whoever shared its blocks takes them over.
 *
 * The state knows it at every moment: a snapshot gets its figures with `completed`, and later ones of its volume that were
 * read more quickly become its increments then; where it goes, its increments get theirs in the same transaction. Blocks
 * are compared before that transaction, which only looks whether what was compared is still what counts, and otherwise all
 * is done again. An archived snapshot is whole and nobody's parent; so it stays when it is restored, because what was
 * charged against others meanwhile remains so.
 */
import { KilnError } from '../../lib/errors.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { chargeParentOf } from './charge-parents.ts'
import { volumeOfCopies } from './snapshots.ts'

type Charge = Pick<Snapshot, 'chargeParentId' | 'chargedBytes'>

/** What a snapshot holds, once its blocks are in the store. */
export interface SnapshotContent {
  rootHash: string
  dataBytes: number
  /** Bytes that the region's store grew by. */
  storedBytes: number
}

/** Each time somebody else was quicker, and got ahead. */
const attemptsMax = 100

/** Makes a pending snapshot completed, with `also` in the same transaction. Does nothing when it is no longer pending. */
export async function completeCharged(
  deps: CloudDeps,
  snapshotId: string,
  content: SnapshotContent,
  also: (tx: Repositories) => Promise<void> = async () => {},
): Promise<void> {
  const { state, clock } = deps
  const measured: Measured = new Map()
  await untilUpToDate(snapshotId, async () => {
    const snapshot = await state.snapshots.get(snapshotId)
    if (snapshot?.state !== 'pending') return
    const parent = await chargeParentOf(state, snapshot)
    const charge = await chargeAgainst(deps, { ...snapshot, ...content }, parent)
    const completed = { ...snapshot, ...content, ...charge }
    await measureAll(deps, await overtaking(state, completed), completed, measured)
    await state.transaction(async (tx) => {
      if (!(await isStillParent(tx, parent, snapshot))) throw new Outdated()
      const done = { state: 'completed', progress: 100, completedAt: clock.now() } as const
      if (!(await tx.snapshots.move(snapshotId, ['pending'], { ...done, ...content, ...charge }))) return
      await becomeIncrements(tx, await overtaking(tx, completed), snapshotId, measured)
      await also(tx)
    })
  })
}

/** Also whether none came nearer meanwhile, which only those of one volume do. */
async function isStillParent(tx: Repositories, parent: Snapshot | undefined, snapshot: Snapshot): Promise<boolean> {
  if (snapshot.volumeId !== volumeOfCopies) return (await chargeParentOf(tx, snapshot))?.id === parent?.id
  return parent === undefined || (await tx.snapshotCharges.livingParent(parent.id, snapshot)) !== undefined
}

/** Of captures that are under way at once, any may be the first to end. */
async function overtaking({ snapshotCharges }: Repositories, snapshot: Snapshot): Promise<Snapshot[]> {
  return snapshot.volumeId === volumeOfCopies ? [] : await snapshotCharges.overtaking(snapshot)
}

/**
 * Makes a change after which the snapshot is nobody's charge parent: its increments become those of its own parent, in the
 * same transaction. `change` may be called several times, and all but the last are undone; it tells whether the snapshot went.
 */
export async function releaseIncrements(
  deps: CloudDeps,
  snapshotId: string,
  change: (tx: Repositories) => Promise<boolean>,
): Promise<void> {
  const { state } = deps
  const measured: Measured = new Map()
  const attempt = () =>
    state.transaction(async (tx) => {
      const snapshot = await tx.snapshots.get(snapshotId)
      // First, so that what is refused takes no comparing.
      if (!(await change(tx)) || !snapshot) return
      // That its parent still is its parent proves it to be alive, with all of its blocks.
      const increments = await tx.snapshotCharges.increments(snapshotId)
      await becomeIncrements(tx, increments, snapshot.chargeParentId, measured)
    })
  await untilUpToDate(snapshotId, attempt, async () => {
    const parentId = (await state.snapshots.get(snapshotId))?.chargeParentId
    const parent = parentId && (await state.snapshots.get(parentId))
    if (parent) await measureAll(deps, await state.snapshotCharges.increments(snapshotId), parent, measured)
  })
}

/** Its increments must have been passed on before, or be in the same transaction. */
export async function becomeWhole(tx: Repositories, snapshotId: string): Promise<void> {
  const snapshot = await tx.snapshots.get(snapshotId)
  if (snapshot) await tx.snapshots.update(snapshotId, wholeCharge(snapshot))
}

/** Takes a transaction back: what was measured before it is no longer what counts. */
class Outdated extends Error {}

async function untilUpToDate(
  snapshotId: string,
  attempt: () => Promise<void>,
  measure: () => Promise<void> = async () => {},
): Promise<void> {
  for (let attempts = 0; attempts < attemptsMax; attempts++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Outdated)) throw error
      await measure()
    }
  }
  throw new KilnError('Unavailable', `Too much happens around the snapshot '${snapshotId}'; try again`)
}

/** What increments would be charged for against another parent, by {@link measureKey}. */
type Measured = Map<string, Charge>

const measureKey = (snapshotId: string, parentId: string) => `${snapshotId} ${parentId}`

async function becomeIncrements(
  tx: Repositories,
  increments: readonly Snapshot[],
  parentId: string | null,
  measured: Measured,
): Promise<void> {
  for (const increment of increments) {
    const charge = parentId === null ? wholeCharge(increment) : measured.get(measureKey(increment.id, parentId))
    if (!charge) throw new Outdated()
    await tx.snapshots.update(increment.id, charge)
  }
}

async function measureAll(
  deps: CloudDeps,
  increments: readonly Snapshot[],
  parent: Pick<Snapshot, 'id' | 'rootHash'>,
  measured: Measured,
): Promise<void> {
  for (const increment of increments) {
    const key = measureKey(increment.id, parent.id)
    if (!measured.has(key)) measured.set(key, await chargeAgainst(deps, increment, parent))
  }
}

/** A store that is damaged must hold nobody up: what cannot be compared is charged as a whole. */
async function chargeAgainst(
  { blocks, log }: CloudDeps,
  snapshot: Pick<Snapshot, 'id' | 'region' | 'rootHash' | 'dataBytes'>,
  parent: Pick<Snapshot, 'id' | 'rootHash'> | undefined,
): Promise<Charge> {
  if (!parent) return wholeCharge(snapshot)
  const { id, region, rootHash } = snapshot
  const own = await blocks.ownBytes({ region, root: rootHash!, parent: parent.rootHash! })
  if ('bytes' in own) return { chargeParentId: parent.id, chargedBytes: own.bytes }
  log.error({ snapshot: id, parent: parent.id, flaw: own.flaw }, 'a snapshot is charged for all of its bytes')
  return wholeCharge(snapshot)
}

const wholeCharge = ({ dataBytes }: Pick<Snapshot, 'dataBytes'>): Charge => ({
  chargeParentId: null,
  chargedBytes: dataBytes,
})
