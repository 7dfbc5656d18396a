/**
 * What a snapshot in the standard tier is charged for: the bytes of its blocks (of volume, so 512 KiB each, zeros none)
 * that its charge parent (see `charge-parents.ts`) does not have at the same place; without one, all of them. So what
 * several snapshots share is charged once, and where a snapshot goes, whoever shared its blocks takes them over.
 *
 * The state knows it at every moment: a snapshot gets its figures with `completed`, and its increments get theirs in the
 * transaction in which it goes. Blocks are compared before that transaction, which only looks whether what was compared is
 * still what counts, and otherwise all is done again. An archived snapshot is whole and nobody's parent; so it stays when it
 * is restored, because what was charged against others meanwhile remains so.
 */
import { KilnError } from '../../lib/errors.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { chargeParentOf } from './charge-parents.ts'

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
  await repeatedly(snapshotId, async () => {
    const snapshot = await state.snapshots.get(snapshotId)
    if (snapshot?.state !== 'pending') return true
    const parent = await chargeParentOf(state, snapshot)
    const charge = await chargeAgainst(deps, { ...snapshot, ...content }, parent)
    return await state.transaction(async (tx) => {
      if (parent && !(await tx.snapshotCharges.livingParent(parent.id, snapshot))) return false
      const done = { state: 'completed', progress: 100, completedAt: clock.now() } as const
      if (await tx.snapshots.move(snapshotId, ['pending'], { ...done, ...content, ...charge })) await also(tx)
      return true
    })
  })
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
  const measured: Measured = new Map()
  await repeatedly(snapshotId, async () => {
    try {
      await deps.state.transaction(async (tx) => {
        const snapshot = await tx.snapshots.get(snapshotId)
        // First, so that what is refused takes no comparing.
        if ((await change(tx)) && snapshot) await passOn(tx, snapshot, measured)
      })
      return true
    } catch (error) {
      if (!(error instanceof Unmeasured)) throw error
      await measureIncrements(deps, snapshotId, measured)
      return false
    }
  })
}

/** Its increments must have been passed on before, or be in the same transaction. */
export async function becomeWhole(tx: Repositories, snapshotId: string): Promise<void> {
  const snapshot = await tx.snapshots.get(snapshotId)
  if (snapshot) await tx.snapshots.update(snapshotId, wholeCharge(snapshot))
}

/** Takes a transaction back in which something is needed that was not measured before it. */
class Unmeasured extends Error {}

/** What increments would be charged for against another parent, by {@link measureKey}. */
type Measured = Map<string, Charge>

const measureKey = (snapshotId: string, parentId: string) => `${snapshotId} ${parentId}`

/** That the parent still is the snapshot's proves it to be alive, with all of its blocks. */
async function passOn(tx: Repositories, { id, chargeParentId: parentId }: Snapshot, measured: Measured): Promise<void> {
  for (const increment of await tx.snapshotCharges.increments(id)) {
    const charge = parentId === null ? wholeCharge(increment) : measured.get(measureKey(increment.id, parentId))
    if (!charge) throw new Unmeasured()
    await tx.snapshots.update(increment.id, charge)
  }
}

async function measureIncrements(deps: CloudDeps, snapshotId: string, measured: Measured): Promise<void> {
  const { snapshots, snapshotCharges } = deps.state
  const parentId = (await snapshots.get(snapshotId))?.chargeParentId
  const parent = parentId && (await snapshots.get(parentId))
  if (!parent) return
  for (const increment of await snapshotCharges.increments(snapshotId)) {
    const key = measureKey(increment.id, parent.id)
    if (!measured.has(key)) measured.set(key, await chargeAgainst(deps, increment, parent))
  }
}

/** A store that is damaged must hold nobody up: what cannot be compared is charged as a whole. */
async function chargeAgainst(
  { blocks, log }: CloudDeps,
  snapshot: Pick<Snapshot, 'id' | 'region' | 'rootHash' | 'dataBytes'>,
  parent: Snapshot | undefined,
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

async function repeatedly(snapshotId: string, attempt: () => Promise<boolean>): Promise<void> {
  for (let attempts = 0; attempts < attemptsMax; attempts++) if (await attempt()) return
  throw new KilnError('Unavailable', `Too much happens around the snapshot '${snapshotId}'; try again`)
}
