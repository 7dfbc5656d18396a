/** Spot requests as rows: what they say, and what their states are called. */
import { newId } from '../../lib/ids.ts'
import type { Instance } from '../../state/instances.ts'
import type { SpotRequest, SpotRequestFacts } from '../../state/spot-requests.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { LaunchRequest } from '../instances/launch.ts'
import { mostPaid } from './market.ts'

/** What is asked for of the market. */
export interface SpotTerms {
  type: SpotRequest['type']
  interruption: SpotRequest['interruption']
  /** Of an hour; null for the on-demand price. */
  maxPrice: string | null
  validFrom: number | null
  validUntil: number | null
  /** What is told about what is launched: a text, and what requests can be found by. */
  specification: string
  facts: SpotRequestFacts
  tags: readonly Tag[]
}

/**
 * EC2's status codes, as far as they come up here, in words. Source: "Spot request status codes" in the EC2 user guide.
 */
const messages = {
  'pending-evaluation': 'Your Spot request has been submitted for review, and is pending evaluation.',
  'not-scheduled-yet': 'Your Spot request will not be evaluated until its scheduled time.',
  fulfilled: 'Your Spot request is fulfilled.',
  'schedule-expired': 'Your Spot request expired before it was fulfilled.',
  'canceled-before-fulfillment': 'Your Spot request is canceled before it was fulfilled.',
  'request-canceled-and-instance-running': 'Your Spot request is canceled, but your Spot Instance is still running.',
  'instance-stopped-by-user': 'Your Spot Instance was stopped by user-initiated action.',
  'instance-terminated-by-user': 'Your Spot Instance was terminated by user-initiated action.',
  'system-error': 'Your Spot Instance ended because of an error of the system.',
} as const

type Status = Pick<SpotRequest, 'statusCode' | 'statusMessage' | 'statusAt'>

export const statusOf = (statusCode: keyof typeof messages, nowMs: number): Status => ({
  ...{ statusCode, statusMessage: messages[statusCode], statusAt: nowMs },
})

/** One request for each of the instances, which have them already, or so many that wait. */
export async function writeSpotRequests(
  { random, clock, prices }: Pick<CloudDeps, 'random' | 'clock' | 'prices'>,
  tx: Repositories,
  scope: Scope,
  launch: LaunchRequest,
  terms: SpotTerms,
  holders: readonly (Pick<Instance, 'id' | 'zone'> | null)[],
): Promise<string[]> {
  const now = clock.now()
  const { type, interruption, maxPrice, validFrom, validUntil, specification } = terms
  const { clientToken: _, spot: __, ...same } = launch
  const text = JSON.stringify({ ...same, minCount: 1, maxCount: 1 })
  const rows = holders.map(
    (holder): SpotRequest => ({
      ...{ ...scope, id: newId('spotRequest', random), type, interruption, maxPrice, validFrom, validUntil },
      ...{ specification, launch: text, instanceId: holder?.id ?? null, launchedZone: holder?.zone ?? null },
      ...{ state: holder ? 'active' : 'open', createdAt: now, endedAt: null },
      ...statusOf(holder ? 'fulfilled' : 'pending-evaluation', now),
    }),
  )
  const price = mostPaid(prices, { ...scope, instanceType: launch.instanceType, maxPrice })
  await tx.spotRequests.insert(rows, { ...terms.facts, 'spot-price': price === undefined ? [] : [price] })
  const tagged = rows.map(({ id }) => ({ id, type: 'spot-instances-request', ...scope }))
  await tx.tags.insertAll(tagged, terms.tags)
  return rows.map(({ id }) => id)
}
