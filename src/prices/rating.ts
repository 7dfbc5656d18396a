/** What usage costs: exact amounts times exact prices. */
import type { UsageAmount } from './amounts.ts'
import { type Exact, ratio, sumOf } from './money.ts'
import type { Price, PriceSheet } from './sheet.ts'
import { divisorOf, type PriceUnit, type Rounding, type UsageTypeFacts, usageTypeFacts } from './usage-types.ts'

/**
 * An amount with its price. Thousands are rated at once and most of them only added up: what takes long, the shortest form of a
 * fraction, is made when it is asked for.
 */
export class RatedLine {
  readonly usageType: string
  readonly region: string
  /** As `2026-11`. */
  readonly month: string
  readonly unit: PriceUnit
  readonly rounding: Rounding
  /** Of one unit. */
  readonly price: Exact
  /** What is billed, after the price's rounding of runs, times {@link divisor}. */
  private readonly counted: bigint
  private readonly divisor: bigint

  constructor(amount: UsageAmount, facts: UsageTypeFacts, { price, rounding }: Price) {
    this.usageType = amount.usageType
    this.region = amount.region
    this.month = amount.month
    this.unit = facts.unit
    this.rounding = rounding
    this.price = price
    this.counted = countedOf(amount, rounding)
    this.divisor = divisorOf(facts, amount.month)
  }

  /** Billed, in units. */
  get quantity(): Exact {
    return ratio(this.counted, this.divisor)
  }

  /** Quantity · price, not rounded. */
  get cost(): Exact {
    return ratio(...this.rawCost())
  }

  /** {@link cost} as numerator and denominator, not in its shortest form. */
  rawCost(): [numerator: bigint, denominator: bigint] {
    return [this.counted * this.price.n, this.divisor * this.price.d]
  }
}

/** Usage that the sheet does not price. It is not free: nobody knows what it costs. */
export interface UnpricedUsage {
  usageType: string
  region: string
  month: string
  /** Null with {@link quantity} for a usage type of no known meaning. */
  unit: PriceUnit | null
  /** As it was, in units. */
  quantity: Exact | null
  /** `no price for BoxUsage:m5.large in eu-west-3` */
  message: string
}

export interface Rating {
  currency: string
  lines: RatedLine[]
  unpriced: UnpricedUsage[]
}

/**
 * A line for each amount that has a price, in the order of the amounts; nothing is merged. What has no price is told apart,
 * but usage that is metered for reports alone (`InstanceTime.stopped:…`), which is left out unless the sheet prices it.
 */
export function rate(amounts: Iterable<UsageAmount>, sheet: PriceSheet): Rating {
  const rating: Rating = { currency: sheet.head.currency, lines: [], unpriced: [] }
  for (const amount of amounts) {
    const facts = usageTypeFacts(amount.usageType)
    const price = facts && sheet.priceOf(amount.usageType, amount.region)
    if (facts && price) rating.lines.push(new RatedLine(amount, facts, price))
    else if (!facts?.reportOnly) rating.unpriced.push(unpricedOf(amount, facts))
  }
  return rating
}

/** What all lines cost together, exactly. */
export function totalOf(lines: Iterable<RatedLine>): Exact {
  const numerators = new Map<bigint, bigint>()
  for (const line of lines) {
    const [numerator, denominator] = line.rawCost()
    numerators.set(denominator, (numerators.get(denominator) ?? 0n) + numerator)
  }
  return sumOf(Array.from(numerators, ([denominator, numerator]) => ratio(numerator, denominator)))
}

function countedOf({ exact, bySecond, byHour }: UsageAmount, rounding: Rounding): bigint {
  return { none: exact, second: bySecond, hour: byHour }[rounding]
}

function unpricedOf(
  { usageType, region, month, exact }: UsageAmount,
  facts: UsageTypeFacts | undefined,
): UnpricedUsage {
  return {
    ...{ usageType, region, month, unit: facts?.unit ?? null },
    quantity: facts ? ratio(exact, divisorOf(facts, month)) : null,
    message: `no price for ${usageType} in ${region}`,
  }
}
