/**
 * What an hour of an instance counts for beside those of other sizes: one of `small` is 1. Source: "How Regional Reserved
 * Instances are applied", the table of normalization factors.
 */
import { type Exact, exactOf, ratio } from './money.ts'

const factors: Readonly<Record<string, string>> = {
  ...{ nano: '0.25', micro: '0.5', small: '1', medium: '2', large: '4', xlarge: '8' },
}

/** From `BoxUsage:t3.micro`, or `SpotUsage:`; undefined where there is no such number: for all but instances, and for bare metal. */
export function normalizationFactor(usageType: string): Exact | undefined {
  const size = /^(?:Box|Spot)Usage:[a-z0-9-]+\.([a-z0-9]+)$/.exec(usageType)?.[1] ?? ''
  const times = /^([1-9]\d{0,3})xlarge$/.exec(size)?.[1]
  if (times) return ratio(8n * BigInt(times), 1n)
  const factor = Object.hasOwn(factors, size) ? factors[size] : undefined
  return factor === undefined ? undefined : exactOf(factor)
}
