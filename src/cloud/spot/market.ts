/**
 * The price of spot instances. There is no market here: the price sheet says what they cost, and nothing but a launch
 * looks at what somebody would pay at most. Source: "Spot Instance pricing history" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { decimalText, type Exact, exactOf, isDecimal } from '../../prices/money.ts'
import type { Price, PriceSheet } from '../../prices/sheet.ts'

/** Of an hour: the price of the spot usage, or else the on-demand price. Undefined where the sheet has neither. */
export function spotPriceOf(prices: PriceSheet, instanceType: string, region: string): Price | undefined {
  return prices.priceOf(`SpotUsage:${instanceType}`, region)
}

export function onDemandPriceOf(prices: PriceSheet, instanceType: string, region: string): Price | undefined {
  return prices.priceOf(`BoxUsage:${instanceType}`, region)
}

/** With as many places as EC2 writes: `0.010400`. */
export const priceText = (price: Exact): string => decimalText(price, 6)

/** Throws `InvalidParameterValue` for what is no positive decimal number. */
export function checkMaxPrice(text: string, parameter: string): void {
  if (isDecimal(text) && exactOf(text).gt(0)) return
  throw new KilnError('InvalidParameterValue', `Invalid value '${text.slice(0, 100)}' for ${parameter}: a price`)
}

/** What is paid at most for an hour: the on-demand price, where nothing is said. Undefined where none is known. */
export function mostPaid(
  prices: PriceSheet,
  { instanceType, region, maxPrice }: { instanceType: string; region: string; maxPrice: string | null },
): string | undefined {
  if (maxPrice !== null) return maxPrice
  const price = onDemandPriceOf(prices, instanceType, region)?.price
  return price && priceText(price)
}

/** Why somebody who pays that much at most gets no instance of the type; null when they do. No maximum is the on-demand price. */
export function tooLow(
  prices: PriceSheet,
  { instanceType, region, maxPrice }: { instanceType: string; region: string; maxPrice: string | null },
): string | null {
  const price = spotPriceOf(prices, instanceType, region)?.price
  const most = maxPrice === null ? onDemandPriceOf(prices, instanceType, region)?.price : exactOf(maxPrice)
  if (!price || !most || most.gte(price)) return null
  return `Your Spot request price of ${maxPrice ?? priceText(most)} is lower than the minimum required Spot request fulfillment price of ${priceText(price)}.`
}
