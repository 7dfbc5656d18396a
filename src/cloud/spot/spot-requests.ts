/** Requests for spot instances. Source: "Work with Spot Instances" in the EC2 user guide. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { SpotRequest, SpotRequestFacts } from '../../state/spot-requests.ts'
import { idsWithout, listAsked } from '../asked-ids.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Launches, LaunchRequest } from '../instances/launch.ts'
import { enqueueFulfilment, fulfilOperation } from './fulfil-operation.ts'
import { mostPaid, priceText, spotPriceOf } from './market.ts'
import { type SpotTerms, statusOf, writeSpotRequests } from './request-rows.ts'

export type { SpotRequest, SpotRequestFacts, SpotTerms }

/** What an hour of a type costs in a region. */
export interface SpotPrice {
  instanceType: string
  price: string
  /** The day of this price: `2026-01-31`. */
  asOf: string
}

export class SpotRequests {
  readonly #deps: CloudDeps
  readonly #launches: Launches

  constructor(deps: CloudDeps, launches: Launches) {
    this.#deps = deps
    this.#launches = launches
    deps.operations.register(fulfilOperation(deps, launches))
  }

  /** The new requests, all `open`. What is to be launched is checked as a launch would be. */
  async request(
    scope: Scope,
    request: { count: number; launch: LaunchRequest; terms: SpotTerms; clientToken?: ClientToken | undefined },
  ): Promise<SpotRequest[]> {
    const { state, operations } = this.#deps
    const { count, launch, terms, clientToken } = request
    const before = await answeredBefore(state, scope, 'RequestSpotInstances', clientToken)
    if (!before) await this.#check(scope, request)
    const ids = await createOnce(this.#deps, scope, 'RequestSpotInstances', clientToken, async (tx) => {
      const waiting = Array.from({ length: count }, () => null)
      const made = await writeSpotRequests(this.#deps, tx, scope, launch, terms, waiting)
      for (const id of made) await enqueueFulfilment(this.#deps, tx, { id, ...scope })
      return made
    })
    operations.wake()
    return state.spotRequests.many(ids)
  }

  async #check(scope: Scope, { count, launch, terms }: { count: number; launch: LaunchRequest; terms: SpotTerms }) {
    if (count < 1) {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${count}) for parameter InstanceCount is invalid. Minimum is 1.`,
      )
    }
    if (count > limits.instancesPerRequest) {
      throw new KilnError(
        'MaxSpotInstanceCountExceeded',
        `InstanceCount ${count} is more than one request may ask for: ${limits.instancesPerRequest}`,
      )
    }
    checkTimes(terms, this.#deps.clock.now())
    await this.#launches.plan(scope, launch)
  }

  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<SpotRequest>> {
    const { state, clock } = this.#deps
    const { accountId, region } = scope
    return listAsked(
      (what: typeof request) => state.spotRequests.list(region, { ...what, accountId, nowMs: clock.now() }),
      request,
      notFound,
    )
  }

  /** All of them, or none where one does not exist. Their instances stay. What each of them is now. */
  async cancel(scope: Scope, ids: readonly string[]): Promise<SpotRequest[]> {
    const { state, clock } = this.#deps
    const unique = [...new Set(ids)]
    return state.transaction(async (tx) => {
      const owned = (await tx.spotRequests.many(unique)).filter(
        (row) => row.accountId === scope.accountId && row.region === scope.region,
      )
      const missing = idsWithout(unique, owned)
      if (missing.length > 0) throw notFound(missing)
      const now = clock.now()
      for (const { id, state: was } of owned) {
        if (was === 'open') {
          const patch = { ...statusOf('canceled-before-fulfillment', now), state: 'cancelled', endedAt: now } as const
          await tx.spotRequests.move(id, ['open'], patch)
        } else {
          const patch = { ...statusOf('request-canceled-and-instance-running', now), state: 'cancelled' } as const
          await tx.spotRequests.move(id, ['active', 'disabled'], patch)
        }
      }
      const byId = new Map((await tx.spotRequests.many(unique)).map((row) => [row.id, row]))
      return unique.map((id) => byId.get(id)!)
    })
  }

  /** What the request would pay at most for an hour; undefined where no price is known. */
  maxPriceOf({ maxPrice, launch, region }: SpotRequest): string | undefined {
    const { instanceType } = JSON.parse(launch) as LaunchRequest
    return mostPaid(this.#deps.prices, { instanceType, region, maxPrice })
  }

  /** Of those types that have one. */
  prices(region: string, instanceTypes: Iterable<string>): SpotPrice[] {
    const { prices } = this.#deps
    return [...instanceTypes].flatMap((instanceType) => {
      const price = spotPriceOf(prices, instanceType, region)
      if (!price) return []
      return [{ instanceType, price: priceText(price.price), asOf: price.asOf ?? prices.head.asOf }]
    })
  }
}

function checkTimes({ validFrom, validUntil }: SpotTerms, nowMs: number): void {
  const wrong = (parameter: string, why: string) => new KilnError('InvalidParameterValue', `${parameter} ${why}`)
  if (validFrom !== null && validFrom <= nowMs) throw wrong('ValidFrom', 'must be in the future')
  if (validUntil !== null && validUntil <= nowMs) throw wrong('ValidUntil', 'must be in the future')
  if (validFrom !== null && validUntil !== null && validUntil <= validFrom) {
    throw wrong('ValidUntil', 'must be after ValidFrom')
  }
}

const notFound = (ids: readonly string[]) =>
  new KilnError(
    'InvalidSpotInstanceRequestID.NotFound',
    ids.length === 1
      ? `The spot instance request ID '${ids[0]}' does not exist`
      : `The spot instance request IDs '${ids.join(', ')}' do not exist`,
  )
