/**
 * Which of its ways a fleet launches instances, and how many of each. Source: "Use allocation strategies to determine how
 * EC2 Fleet or Spot Fleet fulfills Spot and On-Demand capacity" in the EC2 user guide. All capacity here is one host's, so
 * the strategies that look at what is spare come to the lowest price.
 */
import { type Exact, exactOf, ratio } from '../../prices/money.ts'
import type { PriceSheet } from '../../prices/sheet.ts'
import type { PlannedLaunch } from '../instances/launch.ts'
import { onDemandPriceOf, spotPriceOf } from '../spot/market.ts'

export type Lifecycle = 'spot' | 'on-demand'

/** What is wanted of one kind of instances. */
export interface Target {
  /** Units of capacity. */
  capacity: number
  /** By how they were listed or ranked, or by price. */
  order: 'priority' | 'price'
  /** How many pools share the capacity, as evenly as can be. */
  spread: number
  singleType: boolean
  singleZone: boolean
  /** With less than that nothing is launched. */
  minCapacity: number
  /** Of all instances together, an hour. */
  maxTotalPrice: string | null
}

/** One way to launch an instance, checked. */
export interface Pool {
  index: number
  /** Units of capacity that an instance is worth. */
  weight: number
  /** The smaller the earlier; null comes last. */
  priority: number | null
  planned: PlannedLaunch
}

export const priceOfPool = (prices: PriceSheet, { planned }: Pool, lifecycle: Lifecycle): Exact | undefined => {
  const { type, subnet } = planned.plan
  const priceOf = lifecycle === 'spot' ? spotPriceOf : onDemandPriceOf
  return priceOf(prices, type.name, subnet.region)?.price
}

/** The pools in the order in which they are tried. */
export function inOrder(prices: PriceSheet, pools: readonly Pool[], target: Target, lifecycle: Lifecycle): Pool[] {
  const ranked = (a: number | null, b: number | null) => (a ?? Number.MAX_VALUE) - (b ?? Number.MAX_VALUE)
  if (target.order === 'priority') return pools.toSorted((a, b) => ranked(a.priority, b.priority))
  const unitPrice = (pool: Pool) => {
    const weight = ratio(BigInt(Math.round(pool.weight * 1_000_000)), 1_000_000n)
    return priceOfPool(prices, pool, lifecycle)?.div(weight)
  }
  return pools.toSorted((a, b) => {
    const [first, second] = [unitPrice(a), unitPrice(b)]
    if (first && second) return first.compare(second)
    // What has no price comes after what has one.
    return Number(!first) - Number(!second)
  })
}

/** What was launched so far, and what that leaves. */
export class Allotment {
  readonly #prices: PriceSheet
  readonly #target: Target
  readonly #lifecycle: Lifecycle
  #money: Exact | null
  #type: string | null = null
  #zone: string | null = null
  fulfilled = 0

  constructor(prices: PriceSheet, target: Target, lifecycle: Lifecycle) {
    this.#prices = prices
    this.#target = target
    this.#lifecycle = lifecycle
    this.#money = target.maxTotalPrice === null ? null : exactOf(target.maxTotalPrice)
  }

  /** How many instances of the pool are wanted, if at most so much capacity comes of it. */
  countOf(pool: Pool, mostCapacity: number): number {
    const { type, subnet } = pool.planned.plan
    if (this.#target.singleType && this.#type !== null && this.#type !== type.name) return 0
    if (this.#target.singleZone && this.#zone !== null && this.#zone !== subnet.zone) return 0
    const left = Math.min(mostCapacity, this.#target.capacity - this.fulfilled)
    const count = Math.max(0, Math.ceil(left / pool.weight))
    const price = priceOfPool(this.#prices, pool, this.#lifecycle)
    if (!this.#money || !price || price.equals(0)) return count
    return Math.min(count, Number(this.#money.div(price).floor()))
  }

  launched(pool: Pool, count: number): void {
    const { type, subnet } = pool.planned.plan
    this.fulfilled += count * pool.weight
    this.#type ??= type.name
    this.#zone ??= subnet.zone
    const price = priceOfPool(this.#prices, pool, this.#lifecycle)
    if (this.#money && price) this.#money = this.#money.sub(price.mul(count))
  }
}
