/**
 * The tables of what was used. Times are whole seconds since the epoch: usage is counted by the second, and what ends in
 * one second begins anew in the same.
 */
import type { Flag } from '../schema.ts'

/** Whole seconds since the Unix epoch. */
export type TimeS = number

/** What is being used now: one row for each resource and usage type. It becomes an event when it ends or changes. */
export interface UsageMetersTable {
  resourceId: string
  usageType: string
  accountId: string
  region: string
  /** In the usage type's own unit: bytes, GiB, IOPS, or 1. */
  quantity: number
  fromS: TimeS
  /** How long this run had lasted already at `fromS`; null when it began then. Roundings count from a run's beginning. */
  runBeforeS: number | null
}

/** Appended, never changed. Either something lasted from one time to another, or (`amount`) it happened once. */
export interface UsageEventsTable {
  seq: number
  resourceId: string
  usageType: string
  accountId: string
  region: string
  quantity: number
  fromS: TimeS
  toS: TimeS
  runBeforeS: number | null
  /** Decimal digits, in what amounts of the usage type are counted in; null for what lasted. */
  amount: string | null
  /** The time of its end is not known from the host, but the last at which it was seen. */
  isEstimated: Flag
}

/** How much of a usage type an account uses at once in a region, and until when the days have been told of it. */
export interface UsageLevelsTable {
  accountId: string
  region: string
  usageType: string
  /** Decimal digits. */
  quantity: string
  atS: TimeS
}

/** What was used on one day (UTC), in quantity times seconds as decimal digits. */
export interface UsageDaysTable {
  accountId: string
  region: string
  usageType: string
  /** Days since the epoch. */
  day: number
  exact: string
  bySecond: string
  byHour: string
}

/** What usage is told by: outlives the resource. */
export interface UsageResourcesTable {
  resourceId: string
  accountId: string
  region: string
  kind: 'instance' | 'volume' | 'snapshot' | 'bucket' | 'address'
  /** What it was launched from, or came with a launch of. */
  imageId: string | null
  /** JSON: the owner's tags, as they are or were last. */
  tags: string
}

/** The last time that was seen, to tell when somebody sets the clock. One row. */
export interface UsageClockTable {
  id: number
  wallMs: number
  uptimeMs: number
  bootId: string
}

export interface UsageTables {
  usageMeters: UsageMetersTable
  usageEvents: UsageEventsTable
  usageLevels: UsageLevelsTable
  usageDays: UsageDaysTable
  usageResources: UsageResourcesTable
  usageClock: UsageClockTable
}
