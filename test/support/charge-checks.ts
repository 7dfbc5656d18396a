/** Whether what snapshots are charged for fits what there is, block by block, whatever brought them there. */
import { chargeParentOf } from '../../src/cloud/snapshots/charge-parents.ts'
import { volumeOfCopies } from '../../src/cloud/snapshots/snapshots.ts'
import type { Snapshot } from '../../src/state/snapshots.ts'
import type { TestCloud } from './test-cloud.ts'

const blocksPerPage = 5000

/** What is wrong, in words. For clouds in which nothing was archived and no store was damaged. */
export async function wrongCharges({ deps }: TestCloud, snapshots: readonly Snapshot[]): Promise<string[]> {
  const wrong: string[] = []
  for (const snapshot of snapshots) {
    const { id, state: is, chargedBytes, chargeParentId, volumeId } = snapshot
    if (is !== 'completed') {
      if (chargedBytes !== null) wrong.push(`${id} is ${is} and charged for`)
      continue
    }
    const parent = chargeParentId === null ? undefined : await deps.state.snapshots.get(chargeParentId)
    if (chargeParentId !== null && parent?.state !== 'completed') {
      wrong.push(`${id} is charged against ${chargeParentId}, which is ${parent?.state}`)
      continue
    }
    const own = await ownBlocks(deps, snapshot, parent)
    const charged = chargedBytes! / deps.blocks.contents.blockBytes
    if (charged !== own) wrong.push(`${id} has ${own} blocks of its own, and is charged for ${charged}`)
    // What is nearest to a copy depends on when it was made.
    if (volumeId === volumeOfCopies) continue
    const nearest = (await chargeParentOf(deps.state, snapshot))?.id ?? null
    if (nearest !== chargeParentId) wrong.push(`${id} is charged against ${chargeParentId}, and not ${nearest}`)
  }
  return wrong
}

async function ownBlocks(deps: TestCloud['deps'], snapshot: Snapshot, parent: Snapshot | undefined): Promise<number> {
  const before = parent ? await blocksOf(deps, parent) : new Map<number, string>()
  return [...(await blocksOf(deps, snapshot))].filter(([index, hash]) => before.get(index) !== hash).length
}

async function blocksOf({ blocks }: TestCloud['deps'], { region, rootHash }: Snapshot): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for (let fromIndex: number | null = 0; fromIndex !== null; ) {
    const request = { region, root: rootHash!, fromIndex, limit: blocksPerPage }
    const page: Awaited<ReturnType<typeof blocks.contents.blocksFrom>> = await blocks.contents.blocksFrom(request)
    for (const { index, hash } of page.items) found.set(index, hash)
    fromIndex = page.next
  }
  return found
}
