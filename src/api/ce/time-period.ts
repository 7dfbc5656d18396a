/**
 * The windows of time that can be asked for, and how they are written. Kiln forgets no usage; the bounds are AWS's, so that a
 * program that works here works there: 14 days by the hour, 14 months by the day, 38 months by the month.
 *
 * Sources: DateInterval in the API reference of Cost Explorer; "Exploring more data for advanced cost analysis".
 */
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'
import { invalid } from './dimensions.ts'

export const granularities = ['DAILY', 'MONTHLY', 'HOURLY'] as const
export type AwsGranularity = (typeof granularities)[number]

/** Seconds since the epoch; the end is excluded. */
export interface TimePeriod {
  fromS: number
  toS: number
}

const daySeconds = 86_400
export const resourceDays = 14
const dailyMonths = 13
const monthlyMonths = 38

/** Of costs that were: the end is at most the first of the next month. */
export function pastPeriodOf(input: JsonInput, granularity: AwsGranularity, nowS: number): TimePeriod {
  const period = timePeriodOf(input, granularity)
  if (period.toS > monthsFrom(nowS, 1)) throw invalid('end date past the beginning of next month')
  if (period.fromS > nowS) {
    throw invalid(`Start date (and hour) ${timeText(period.fromS, granularity)} should not be after the current date`)
  }
  checkAge(period, granularity, nowS)
  return period
}

/** Any period that is one. */
export function timePeriodOf(input: JsonInput, granularity: AwsGranularity): TimePeriod {
  const period = input.requiredStructure('TimePeriod')
  const [fromS, toS] = [timeOf(period, 'Start', granularity), timeOf(period, 'End', granularity)]
  if (fromS >= toS) throw invalid('Start date (and hour) should be before end date (and hour)')
  return { fromS, toS }
}

function timeOf(period: JsonInput, name: 'Start' | 'End', granularity: AwsGranularity): number {
  const text = period.requiredText(name, { max: 40 })
  const isHourly = granularity === 'HOURLY'
  const pattern = isHourly ? /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/ : /^\d{4}-\d{2}-\d{2}$/
  const timeMs = pattern.test(text) ? Date.parse(text) : Number.NaN
  // A day such as the 31st of February is another to Date.
  if (!Number.isNaN(timeMs) && timeText(timeMs / 1000, granularity) === text) return timeMs / 1000
  const format = isHourly ? 'yyyy-MM-ddThh:mm:ssZ' : 'yyyy-MM-dd'
  throw invalid(`${name} time ${clipped(text)} is invalid. Valid format is: ${format}.`)
}

function checkAge({ fromS }: TimePeriod, granularity: AwsGranularity, nowS: number): void {
  if (granularity === 'HOURLY') checkDays(fromS, nowS)
  if (granularity === 'HOURLY' || fromS >= monthsFrom(nowS, -dailyMonths)) return
  if (granularity === 'DAILY') throw invalid("You haven't enabled historical data beyond 14 months.")
  if (fromS < monthsFrom(nowS, -monthlyMonths)) {
    const message = 'The requested report expired. Update the date interval and try again.'
    throw new KilnError('BillExpirationException', `${message} Start is more than ${monthlyMonths} months ago.`)
  }
  if (fromS === monthsFrom(fromS, 0)) return
  throw invalid('To retrieve data beyond the past 14 months, your start date needs to be the first day of the month.')
}

/** What is told by the hour or by resource. */
export function checkDays(fromS: number, nowS: number): void {
  if (fromS >= startOfDay(nowS) - resourceDays * daySeconds) return
  throw invalid(`Start date (and hour) should be within the last ${resourceDays} days`)
}

export const startOfDay = (timeS: number): number => timeS - (timeS % daySeconds)

/** The first moment of the month that is so many months later. */
export function monthsFrom(timeS: number, months: number): number {
  const date = new Date(timeS * 1000)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months) / 1000
}

/** `2026-11-28`, or `2026-11-28T00:00:00Z` where hours are told apart. */
export function timeText(timeS: number, granularity: AwsGranularity): string {
  const text = new Date(timeS * 1000).toISOString()
  return granularity === 'HOURLY' ? `${text.slice(0, 19)}Z` : text.slice(0, 10)
}

export const intervalText = ({ fromS, toS }: TimePeriod, granularity: AwsGranularity) => ({
  Start: timeText(fromS, granularity),
  End: timeText(toS, granularity),
})

export const costGranularity = { DAILY: 'day', MONTHLY: 'month', HOURLY: 'hour' } as const
