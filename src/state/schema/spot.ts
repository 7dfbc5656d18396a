/** The tables of spot requests and fleets. */
import type { TimeMs } from '../schema.ts'

export type SpotRequestState = 'open' | 'active' | 'disabled' | 'closed' | 'cancelled' | 'failed'

export interface SpotRequestsTable {
  id: string
  accountId: string
  region: string
  type: 'one-time' | 'persistent'
  state: SpotRequestState
  /** EC2's word for why it is in that state: `fulfilled`. */
  statusCode: string
  statusMessage: string
  statusAt: TimeMs
  /** Of an hour, as it was given; null for the on-demand price. */
  maxPrice: string | null
  interruption: 'hibernate' | 'stop' | 'terminate'
  validFrom: TimeMs | null
  validUntil: TimeMs | null
  /** What is launched, as whoever launches reads it. */
  launch: string
  /** What is told about it, as whoever wrote it reads it. */
  specification: string
  /** The instance that it has now, or had last. */
  instanceId: string | null
  launchedZone: string | null
  createdAt: TimeMs
  /** Since when nothing will happen any more: from then on it is soon forgotten. */
  endedAt: TimeMs | null
}

/** What a request can be found by: one row for each value, under the name of the filter that looks at it. */
export interface SpotRequestFactsTable {
  requestId: string
  name: string
  value: string
}

/** Fleets that were launched at once. */
export interface FleetsTable {
  id: string
  accountId: string
  region: string
  state: 'active' | 'deleted_terminating'
  clientToken: string | null
  /** What was asked for, as whoever wrote it reads it. */
  specification: string
  /** What could not be launched, and why; JSON. */
  errors: string
  /** Units of capacity. */
  fulfilled: number
  fulfilledOnDemand: number
  createdAt: TimeMs
}

export interface FleetInstancesTable {
  fleetId: string
  instanceId: string
  /** Which of the fleet's ways to launch an instance it came from. */
  pool: number
}

export interface SpotTables {
  spotRequests: SpotRequestsTable
  spotRequestFacts: SpotRequestFactsTable
  fleets: FleetsTable
  fleetInstances: FleetInstancesTable
}
