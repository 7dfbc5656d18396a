/** What a meter has counted, as rating takes it. */

/** What was used of one usage type in one region within one UTC calendar month. All exact integers. */
export interface UsageAmount {
  /** Without a region's prefix, as `BoxUsage:t3.micro`; see `usage-types.ts`. */
  usageType: string
  /** As `eu-west-1`. */
  region: string
  /** As `2026-11`. */
  month: string
  /** Quantity · seconds; for what is used at once, such as copied bytes, the quantity itself. */
  exact: bigint
  /** The same, each run counted as at least 60 seconds. */
  bySecond: bigint
  /** The same, each begun hour of a run counted whole; still in quantity · seconds. */
  byHour: bigint
}

/** A month takes longer to work out than to look up, and bills ask for the same few again and again. */
const seconds = new Map<string, bigint>()
const mostRemembered = 1200

/** How many seconds a UTC calendar month has, as `2026-11`. Throws on what is no month. */
export function secondsOfMonth(month: string): bigint {
  const known = seconds.get(month)
  if (known !== undefined) return known
  const [, year, number] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(month) ?? []
  if (!year || !number) throw new RangeError(`'${month}' is not a month, as 2026-11`)
  // Day 0 of the next month is the last of this one. Leap years repeat after 400; years below 100 are others to Date.UTC.
  const days = new Date(Date.UTC(2000 + (Number(year) % 400), Number(number), 0)).getUTCDate()
  if (seconds.size < mostRemembered) seconds.set(month, BigInt(days) * 86_400n)
  return BigInt(days) * 86_400n
}
