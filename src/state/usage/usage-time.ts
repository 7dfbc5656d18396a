/**
 * How long something was used, day by day, in the three ways in which price sheets count: exactly; by the second with at
 * least a minute for each run; by the hour, each that began counted whole. What a rounding adds is counted where it
 * happens: the first minute when a run begins, each hour as it begins. So parts of a span add up to the whole.
 */

export const daySeconds = 86_400
const hourSeconds = 3600
export const minimumSeconds = 60

/** Something that was used evenly. `runBeforeS` is how long its run had lasted at `fromS`, or null when it began then. */
export interface Span {
  fromS: number
  toS: number
  runBeforeS: number | null
}

/** Seconds, counted in the three ways. */
export interface Counted {
  exact: number
  bySecond: number
  byHour: number
}

export const dayOf = (timeS: number): number => Math.floor(timeS / daySeconds)

/** What a run of that length is counted as. A run that ended at once was one all the same. */
const counted: Record<keyof Counted, (runS: number) => number> = {
  exact: (runS) => runS,
  bySecond: (runS) => Math.max(minimumSeconds, runS),
  byHour: (runS) => Math.max(1, Math.ceil(runS / hourSeconds)) * hourSeconds,
}

/** Of the span, what falls into the window from `fromS` (included) to `toS`. */
export function countedWithin(span: Span, window: { fromS: number; toS: number }): Counted {
  const from = Math.max(span.fromS, window.fromS)
  const to = Math.min(span.toS, window.toS)
  if (to < from || span.fromS >= window.toS || (to === from && from > span.fromS)) {
    return { exact: 0, bySecond: 0, byHour: 0 }
  }
  const isItsBeginning = from === span.fromS
  const count = (way: (runS: number) => number) => {
    const until = (timeS: number) => way((span.runBeforeS ?? 0) + timeS - span.fromS)
    if (!isItsBeginning) return until(to) - until(from)
    return until(to) - (span.runBeforeS === null ? 0 : way(span.runBeforeS))
  }
  return { exact: to - from, bySecond: count(counted.bySecond), byHour: count(counted.byHour) }
}

const windowOfDay = (day: number) => ({ fromS: day * daySeconds, toS: (day + 1) * daySeconds })

/** The days that the time from one to the other touches, with the seconds of each. */
export function* secondsByDay(fromS: number, toS: number): Generator<[day: number, seconds: number]> {
  for (let at = fromS; at < toS; ) {
    const end = Math.min(toS, (dayOf(at) + 1) * daySeconds)
    yield [dayOf(at), end - at]
    at = end
  }
}

/** What the two roundings add to the exact seconds. */
export type Rounding = Pick<Counted, 'bySecond' | 'byHour'>

/**
 * What rounding adds on each day. Whole days in the middle of a run add nothing: they are whole seconds and whole hours.
 * So it is the day on which the span begins, the next (a minute may reach over midnight), and that on which it ends. With
 * `toS` at infinity it is what rounding adds as long as the span goes on.
 */
function roundingOf(span: Span): Map<number, Rounding> {
  const first = dayOf(span.fromS)
  const last = span.toS > span.fromS ? dayOf(span.toS - 1) : first
  const days = new Set([first, first + 1, ...(Number.isFinite(last) ? [last] : [])].filter((day) => day <= last))
  return new Map(
    [...days].map((day) => {
      const { exact, bySecond, byHour } = countedWithin(span, windowOfDay(day))
      return [day, { bySecond: bySecond - exact, byHour: byHour - exact }]
    }),
  )
}

/** What rounding adds on the days of a span that begins, as if it never ended. */
export const roundingAtStart = (span: Omit<Span, 'toS'>): Map<number, Rounding> =>
  roundingOf({ ...span, toS: Number.POSITIVE_INFINITY })

/** What is to be added to {@link roundingAtStart} once it is known when the span ends. */
export function roundingAtEnd(span: Span): Map<number, Rounding> {
  const change = new Map(roundingOf(span))
  for (const [day, assumed] of roundingAtStart(span)) {
    const real = change.get(day) ?? { bySecond: 0, byHour: 0 }
    change.set(day, { bySecond: real.bySecond - assumed.bySecond, byHour: real.byHour - assumed.byHour })
  }
  return change
}
