/** A price sheet: what a unit of each usage type costs in each region. `docs/formats/price-sheet.md` specifies its files. */
import type { Exact } from './money.ts'
import type { PriceUnit, Rounding } from './usage-types.ts'

export const sheetFormat = 'kiln-price-sheet'
export const sheetVersion = 1

/** Stands for every region that has no price of its own for a usage type. */
export const anyRegion = '*'

const spotUsage = 'SpotUsage:'

/** What a file may be. Whatever is larger is refused, not read. */
export const sheetLimits = { bytes: 4 * 2 ** 20, rows: 20_000, problems: 50, textLength: 500 }

export interface Price {
  unit: PriceUnit
  /** Of one unit, in the sheet's currency; never negative. */
  price: Exact
  rounding: Rounding
  /** `2026-01-31`: when it was so, where that is another day than the sheet's. */
  asOf?: string
}

export interface SheetHead {
  /** ISO 4217. */
  currency: string
  /** `2026-01-31`: the day on which these were the prices. */
  asOf: string
  /** Where they are from, in words. */
  source: string
}

/** Region, or {@link anyRegion} → usage type → price. */
export type PricesByRegion = ReadonlyMap<string, ReadonlyMap<string, Price>>

export class PriceSheet {
  readonly head: SheetHead
  readonly prices: PricesByRegion

  constructor(head: SheetHead, prices: PricesByRegion) {
    this.head = head
    this.prices = prices
  }

  /**
   * The region's own price, else that of any region; undefined where the sheet has neither. A spot instance whose usage
   * has no price costs what it would on demand.
   */
  priceOf(usageType: string, region: string): Price | undefined {
    const price = this.prices.get(region)?.get(usageType) ?? this.prices.get(anyRegion)?.get(usageType)
    if (price || !usageType.startsWith(spotUsage)) return price
    return this.priceOf(`BoxUsage:${usageType.slice(spotUsage.length)}`, region)
  }
}
