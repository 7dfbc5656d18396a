/**
 * What a month is to cost, told from what was lived alone: for each thing that is charged the stretches in which it was
 * used, and at the end one plain walk over them. Nothing of the metering or of the price sheets is used; sums are fractions
 * of whole numbers.
 */

/** `minute`: a run of less than 60 seconds is charged for 60. */
export interface ModelPrice {
  /** Of one unit, in millionths. */
  micros: bigint
  per: 'hour' | 'month' | 'once'
  /** What of the quantity makes one unit. */
  perUnit: bigint
  minute: boolean
}

interface Stretch {
  /** Seconds that were lived since the beginning. */
  from: number
  to: number | null
  quantity: bigint
}

/** Without a break, whatever the quantity was; it ends when the quantity becomes nothing. */
interface Run {
  resource: string
  usageType: string
  stretches: Stretch[]
}

interface Fraction {
  n: bigint
  d: bigint
}

const add = (a: Fraction, b: Fraction): Fraction => shortest({ n: a.n * b.d + b.n * a.d, d: a.d * b.d })

function shortest({ n, d }: Fraction): Fraction {
  let [a, b] = [n, d]
  while (b !== 0n) [a, b] = [b, a % b]
  return { n: n / a, d: d / a }
}

const monthOf = (wallS: number) => {
  const date = new Date(wallS * 1000)
  const [from, to] = [0, 1].map((next) => Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + next) / 1000)
  return { from: from!, to: to!, seconds: BigInt(to! - from!) }
}

export class BillModel {
  readonly #prices: Readonly<Record<string, ModelPrice>>
  readonly #runs: Run[] = []
  readonly #minimums: { run: Run; seconds: number; usageType: string }[] = []
  readonly #moments = new Map<string, { resource: string; usageType: string; lived: number; quantity: bigint }>()
  /** What the clock said when so many seconds had been lived; one more each time that it was set. */
  readonly #clock: { lived: number; wallS: number }[]
  lived = 0

  constructor(prices: Readonly<Record<string, ModelPrice>>, wallS: number) {
    this.#prices = prices
    this.#clock = [{ lived: 0, wallS }]
  }

  get wallS(): number {
    const { lived, wallS } = this.#clock.at(-1)!
    return wallS + this.lived - lived
  }

  pass(seconds: number): void {
    this.lived += seconds
  }

  /** The clock is set; nothing is lived. */
  setClock(wallS: number): void {
    this.#clock.push({ lived: this.lived, wallS })
  }

  /** From now on, or since `lived`, the resource uses that much of that. */
  use(resource: string, usageType: string, quantity: number, lived = this.lived): void {
    const running = this.#runs.find(
      (run) => run.resource === resource && run.usageType === usageType && run.stretches.at(-1)!.to === null,
    )
    if (running?.stretches.at(-1)?.quantity === BigInt(quantity)) return
    if (running) running.stretches.at(-1)!.to = lived
    if (quantity === 0) return
    const stretch = { from: lived, to: null, quantity: BigInt(quantity) }
    if (running) running.stretches.push(stretch)
    else this.#runs.push({ resource, usageType, stretches: [stretch] })
  }

  /** All that the resource uses, and nothing else. */
  useOnly(resource: string, usage: Readonly<Record<string, number>>, lived = this.lived): void {
    const types = this.#runs.filter((run) => run.resource === resource).map(({ usageType }) => usageType)
    for (const usageType of new Set([...types, ...Object.keys(usage)])) {
      this.use(resource, usageType, usage[usageType] ?? 0, lived)
    }
  }

  /** What that resource uses of that is charged for so many seconds, under another name what it was not used for. */
  leastTime(resource: string, usageType: string, least: { seconds: number; usageType: string }): void {
    const run = this.#runs.findLast((one) => one.resource === resource && one.usageType === usageType)!
    this.#minimums.push({ run, ...least })
  }

  /** Used at once, and once for each resource, however often it is told. */
  once(resource: string, usageType: string, quantity: number): void {
    const key = `${resource} ${usageType}`
    if (this.#moments.has(key)) return
    this.#moments.set(key, { resource, usageType, lived: this.lived, quantity: BigInt(quantity) })
  }

  /** By resource and usage type, as `numerator/denominator` of the currency; what costs nothing is left out. */
  bill(): Record<string, string> {
    const sums = new Map<string, Fraction>()
    const charge = (resource: string, usageType: string, part: Fraction) => {
      const key = `${resource} ${usageType}`
      sums.set(key, add(sums.get(key) ?? { n: 0n, d: 1n }, part))
    }
    for (const run of this.#runs) {
      const price = this.#prices[run.usageType]
      if (!price) throw new Error(`the model has no price for ${run.usageType}`)
      for (const { wallS, amount } of this.#amounts(run, price.minute)) {
        charge(run.resource, run.usageType, this.#cost(price, wallS, amount))
      }
    }
    for (const { run, seconds, usageType } of this.#minimums) {
      const last = run.stretches.at(-1)!
      const lasted = (last.to ?? this.lived) - run.stretches[0]!.from
      if (last.to === null || lasted >= seconds) continue
      const amount = last.quantity * BigInt(seconds - lasted)
      const wallS = this.#wallAt(last.to)
      charge(run.resource, usageType, this.#cost(this.#prices[usageType]!, wallS, amount))
    }
    for (const { resource, usageType, lived, quantity } of this.#moments.values()) {
      charge(resource, usageType, this.#cost(this.#prices[usageType]!, this.#wallAt(lived), quantity))
    }
    return Object.fromEntries([...sums].filter(([, { n }]) => n !== 0n).map(([key, { n, d }]) => [key, `${n}/${d}`]))
  }

  #cost({ micros, per, perUnit }: ModelPrice, wallS: number, amount: bigint): Fraction {
    const time = { hour: 3600n, month: monthOf(wallS).seconds, once: 1n }[per]
    return { n: amount * micros, d: time * perUnit * 1_000_000n }
  }

  /** Quantity times seconds, in parts that lie in one month each. */
  *#amounts({ stretches }: Run, minute: boolean): Generator<{ wallS: number; amount: bigint }> {
    const [first] = stretches
    if (minute) yield { wallS: this.#wallAt(first!.from), amount: first!.quantity * 60n }
    for (const { from, to, quantity } of stretches) {
      for (let at = from; at < (to ?? this.lived); ) {
        const wallS = this.#wallAt(at)
        const set = this.#clock.find(({ lived }) => lived > at)?.lived ?? Number.POSITIVE_INFINITY
        const end = Math.min(to ?? this.lived, set, at + monthOf(wallS).to - wallS)
        // Of the first minute nothing is left to charge.
        const [a, b] = [at, end].map((lived) => (minute ? Math.max(60, lived - first!.from) : lived))
        yield { wallS, amount: quantity * BigInt(b! - a!) }
        at = end
      }
    }
  }

  #wallAt(lived: number): number {
    const segment = this.#clock.findLast((one) => one.lived <= lived)!
    return segment.wallS + lived - segment.lived
  }
}
