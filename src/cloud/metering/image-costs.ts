/** What an image costs a month as it is, of that what it shares, and what deregistering it would save. Money as decimals. */

import { secondsOfMonth } from '../../prices/amounts.ts'
import { type Exact, reportText, sumOf, zero } from '../../prices/money.ts'
import { rate } from '../../prices/rating.ts'
import type { Image } from '../../state/images.ts'
import type { UsageRecord } from '../../state/usage/usage.ts'
import type { CloudDeps } from '../deps.ts'
import type { Progress } from '../ports.ts'
import { publicOwner } from '../regions/public-owner.ts'
import type { SnapshotCost, SnapshotCosts } from '../snapshots/snapshot-cost.ts'
import { monthOf } from './cost-query.ts'
import type { Costs } from './costs.ts'

type Usage = Pick<UsageRecord, 'usageType' | 'region'> & { quantity: bigint }

export class ImageCosts {
  readonly #deps: Pick<CloudDeps, 'state'>
  readonly #costs: Costs
  readonly #snapshots: SnapshotCosts

  constructor(deps: Pick<CloudDeps, 'state'>, costs: Costs, snapshots: SnapshotCosts) {
    this.#deps = deps
    this.#costs = costs
    this.#snapshots = snapshots
  }

  /** Refuses as {@link SnapshotCosts.ofImage} does. */
  async ofImage(region: string, imageId: string, progress: Progress = {}) {
    const { snapshots, name, freedBytes } = await this.#snapshots.ofImage(region, imageId, progress)
    const billed = await this.#billed(snapshots.map(({ snapshotId }) => snapshotId))
    const bundle = this.#bundleOf((await this.#deps.state.images.get(imageId))!)
    const leaving = snapshots.filter(({ staysBecause }) => staysBecause === null)
    const stored = (bytes: number) =>
      this.#monthly([{ usageType: 'EBS:SnapshotUsage', region, quantity: BigInt(bytes) }])
    const ofSnapshots = snapshots.map((one) => snapshotTexts(one, stored, billed.get(one.snapshotId) ?? zero))
    const all = sumOf([...billed.values(), ...(bundle ? [bundle.cost] : [])])
    return {
      ...{ imageId, name, region, currency: this.#costs.sheet.head.currency, snapshots: ofSnapshots },
      bundle: bundle && { ...bundle, cost: reportText(bundle.cost) },
      billed: reportText(all),
      freedBytes,
      freed: reportText(stored(freedBytes)),
      /** At the most: blocks that increments inherit are charged with them then. */
      saved: reportText(sumOf(leaving.map(({ snapshotId }) => billed.get(snapshotId) ?? zero))),
    }
  }

  /** Of each snapshot, what is metered of it now. */
  async #billed(snapshotIds: readonly string[]): Promise<Map<string, Exact>> {
    const nowS = this.#costs.nowS()
    const usages = new Map<string, Usage[]>(snapshotIds.map((id) => [id, []]))
    const window = { fromS: nowS, toS: nowS + 1, resourceIds: snapshotIds }
    for await (const { resourceId, usageType, region, quantity, isRunning } of this.#deps.state.usage.records(
      window,
      nowS,
    )) {
      if (isRunning) usages.get(resourceId)!.push({ usageType, region, quantity: BigInt(quantity) })
    }
    return new Map([...usages].map(([id, ofOne]) => [id, this.#monthly(ofOne)]))
  }

  #bundleOf({ imageLocation: location, bundleBytes: bytes, region, accountId }: Image) {
    if (location === null || bytes === null) return null
    const quantity = accountId === publicOwner.accountId ? 0n : BigInt(bytes)
    return { location, bytes, cost: this.#monthly([{ usageType: 'TimedStorage-ByteHrs', region, quantity }]) }
  }

  /** What it costs for this whole month; what has no price counts as nothing. */
  #monthly(usages: readonly Usage[]): Exact {
    const month = monthOf(this.#costs.nowS())
    const amounts = usages.map(({ usageType, region, quantity }) => {
      const amount = quantity * secondsOfMonth(month)
      return { usageType, region, month, exact: amount, bySecond: amount, byHour: amount }
    })
    return sumOf(rate(amounts, this.#costs.sheet).lines.map(({ cost }) => cost))
  }
}

function snapshotTexts(snapshot: SnapshotCost, stored: (bytes: number) => Exact, billed: Exact) {
  const { snapshotId, deviceNames, uniqueBytes, sharedBytes, sharedWith, staysBecause } = snapshot
  return {
    ...{ snapshotId, deviceNames, uniqueBytes, sharedBytes, sharedWith, staysBecause, billed: reportText(billed) },
    ...{ unique: reportText(stored(uniqueBytes)), shared: reportText(stored(sharedBytes)) },
  }
}
