/** Times as people type them: a month, a day or a moment, always in UTC. */

const form = /^(\d{4})-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2}))?Z?)?)?$/

/** How times are written, for messages. */
export const utcTimeForms = 'a day as 2026-11-01, a month as 2026-11, or a time in UTC as 2026-11-01T06:30:00Z'

/** Seconds since the epoch; a month or a day is its beginning. Undefined for what is no time, 30 February too. */
export function parseUtc(text: string): number | undefined {
  const [, year, month, day = '01', hours = '00', minutes = '00', seconds = '00'] = form.exec(text) ?? []
  if (!year) return undefined
  const iso = `${year}-${month}-${day}T${hours}:${minutes}:${seconds}.000Z`
  const date = new Date(iso)
  // What rolls over into the next month was none of this one.
  return Number.isNaN(date.getTime()) || date.toISOString() !== iso ? undefined : date.getTime() / 1000
}

/** `2026-11-01T06:30:00Z` */
export const utcText = (timeS: number): string => new Date(timeS * 1000).toISOString().replace('.000', '')

/** The beginning of the month that the time lies in, or of one so many months later. */
export function startOfMonth(timeS: number, later = 0): number {
  const date = new Date(timeS * 1000)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + later) / 1000
}
