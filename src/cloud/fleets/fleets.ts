/**
 * Fleets that are launched at once (type `instant`): instances of several kinds in one request. All that can be launched
 * is written in one transaction with the fleet; what cannot is told. Source: "EC2 Fleet request types" in the EC2 user guide.
 */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { Fleet, FleetInstance } from '../../state/fleets.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { listAsked } from '../asked-ids.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Instances } from '../instances/instances.ts'
import type { Launches, LaunchRequest } from '../instances/launch.ts'
import { Allotment, inOrder, type Lifecycle, type Pool, type Target } from './allocation.ts'

export type { Lifecycle, Target }

/** A way to launch an instance, as it was asked for. */
export interface PoolWish {
  weight: number
  priority: number | null
  /** What it is; throws what a launch would be refused with. */
  launch(lifecycle: Lifecycle): LaunchRequest
}

export interface FleetRequest {
  pools: readonly PoolWish[]
  targets: Readonly<Record<Lifecycle, Target>>
  /** What is told about it: a text. */
  specification: string
  tags: readonly Tag[]
  clientToken?: ClientToken | undefined
}

export interface FleetError {
  pool: number
  lifecycle: Lifecycle
  code: string
  message: string
}

/** Instances of one pool and kind. */
export interface FleetGroup {
  pool: number
  lifecycle: Lifecycle
  instanceType: string
  instanceIds: string[]
}

export interface FleetView extends Omit<Fleet, 'errors'> {
  errors: FleetError[]
  groups: FleetGroup[]
}

interface Side {
  lifecycle: Lifecycle
  target: Target
  pools: Pool[]
}

/** A launch that failed while it was written; nothing was. */
class PoolFailure extends Error {
  readonly failed: FleetError

  constructor(failed: FleetError) {
    super(failed.message)
    this.failed = failed
  }
}

export class Fleets {
  readonly #deps: CloudDeps
  readonly #launches: Launches
  readonly #instances: Instances

  constructor(deps: CloudDeps, rooms: { launches: Launches; instances: Instances }) {
    this.#deps = deps
    this.#launches = rooms.launches
    this.#instances = rooms.instances
  }

  async create(scope: Scope, request: FleetRequest): Promise<FleetView> {
    const { state, operations, random } = this.#deps
    const before = await answeredBefore(state, scope, 'CreateFleet', request.clientToken)
    if (before) return this.get(scope, before[0]!)
    const id = newId('fleet', random)
    const errors: FleetError[] = []
    const sides: Side[] = []
    for (const lifecycle of ['on-demand', 'spot'] as const) {
      const target = request.targets[lifecycle]
      if (target.capacity > 0) sides.push(await this.#plan(scope, id, request, lifecycle, errors))
    }
    const [made] = await this.#writeWhatCan(scope, id, request, sides, errors)
    operations.wake()
    return this.get(scope, made!)
  }

  async #plan(
    scope: Scope,
    fleetId: string,
    { pools: wishes, targets }: FleetRequest,
    lifecycle: Lifecycle,
    errors: FleetError[],
  ): Promise<Side> {
    const pools: Pool[] = []
    for (const [index, { weight, priority, launch }] of wishes.entries()) {
      try {
        const planned = await this.#launches.plan(scope, { ...launch(lifecycle), fleetId })
        pools.push({ index, weight, priority, planned })
      } catch (error) {
        errors.push(errorOf(error, index, lifecycle))
      }
    }
    const target = targets[lifecycle]
    return { lifecycle, target, pools: inOrder(this.#deps.prices, pools, target, lifecycle) }
  }

  /** A pool that fails while it is written takes all with it: then all is written again without it. */
  async #writeWhatCan(
    scope: Scope,
    id: string,
    request: FleetRequest,
    sides: Side[],
    errors: FleetError[],
  ): Promise<string[]> {
    const all = sides.flatMap(({ pools }) => pools.map(({ planned }) => planned))
    return this.#launches.whileWriting(all, async () => {
      for (;;) {
        try {
          return await createOnce(this.#deps, scope, 'CreateFleet', request.clientToken, async (tx) => {
            await this.#write(tx, scope, id, request, sides, errors)
            return [id]
          })
        } catch (error) {
          if (!(error instanceof PoolFailure)) throw error
          const { failed } = error
          errors.push(failed)
          const side = sides.find(({ lifecycle }) => lifecycle === failed.lifecycle)!
          side.pools = failed.pool < 0 ? [] : side.pools.filter(({ index }) => index !== failed.pool)
        }
      }
    })
  }

  async #write(
    tx: Repositories,
    scope: Scope,
    id: string,
    { specification, tags, clientToken }: FleetRequest,
    sides: readonly Side[],
    errors: readonly FleetError[],
  ): Promise<void> {
    const members: FleetInstance[] = []
    const fulfilled = { spot: 0, 'on-demand': 0 }
    for (const side of sides) {
      fulfilled[side.lifecycle] = await this.#launchSide(tx, scope, side, (pool, instanceIds) => {
        members.push(...instanceIds.map((instanceId) => ({ fleetId: id, instanceId, pool })))
      })
    }
    const told = errors.map((error) => ({ ...error, pool: Math.max(0, error.pool) }))
    const row: Fleet = {
      ...{ ...scope, id, state: 'active', specification, errors: JSON.stringify(told) },
      ...{ clientToken: clientToken?.token ?? null, createdAt: this.#deps.clock.now() },
      ...{ fulfilled: fulfilled.spot + fulfilled['on-demand'], fulfilledOnDemand: fulfilled['on-demand'] },
    }
    await tx.fleets.insert(row, members)
    await tx.tags.insertAll([{ id, type: 'fleet', ...scope }], tags)
  }

  /** The capacity that it came to. */
  async #launchSide(
    tx: Repositories,
    scope: Scope,
    { lifecycle, target, pools }: Side,
    launched: (pool: number, instanceIds: string[]) => void,
  ): Promise<number> {
    const allotment = new Allotment(this.#deps.prices, target, lifecycle)
    const sharing = pools.slice(0, target.spread)
    const share = target.capacity / Math.max(1, sharing.length)
    const spent = new Set<Pool>()
    // What a pool could not give is asked of all of them afterwards.
    const turns = [
      ...sharing.map((pool) => ({ pool, most: share })),
      ...pools.map((pool) => ({ pool, most: Infinity })),
    ]
    for (const { pool, most } of turns) {
      const maxCount = allotment.countOf(pool, most)
      if (maxCount === 0 || spent.has(pool)) continue
      const request = { ...pool.planned.request, minCount: 1, maxCount }
      const ids = await this.#launches.write(tx, scope, { ...pool.planned, request }).catch((error) => {
        throw new PoolFailure(errorOf(error, pool.index, lifecycle))
      })
      // It gave all that it has.
      if (ids.length < maxCount) spent.add(pool)
      allotment.launched(pool, ids.length)
      launched(pool.index, ids)
    }
    if (pools.length === 0 || allotment.fulfilled >= target.minCapacity) return allotment.fulfilled
    const message = `There is no capacity of ${target.minCapacity} (MinTargetCapacity) to be had: it is ${allotment.fulfilled}.`
    throw new PoolFailure({ pool: -1, lifecycle, code: 'UnfulfillableCapacity', message })
  }

  async get(scope: Scope, id: string): Promise<FleetView> {
    return (await this.list(scope, { ids: [id] })).items[0]!
  }

  /** Instant fleets are told to those who know them. Throws InvalidFleetId.NotFound. */
  async list(
    scope: Scope,
    request: Omit<ListRequest, 'accountId'> & { ids: readonly string[] },
  ): Promise<Page<FleetView>> {
    const { state } = this.#deps
    const { accountId, region } = scope
    // Nothing has an empty id; what else is asked is checked all the same.
    const page =
      request.ids.length === 0
        ? await state.fleets.list(region, { ...request, ids: [''], accountId })
        : await listAsked(
            (what: typeof request) => state.fleets.list(region, { ...what, accountId }),
            request,
            notFound,
          )
    const ids = page.items.map((row) => row.id)
    const members = await state.fleets.instancesOf(ids)
    const items = page.items.map((row) => ({
      ...row,
      errors: JSON.parse(row.errors) as FleetError[],
      groups: groupsOf(members.filter((member) => member.fleetId === row.id)),
    }))
    return { ...page, items }
  }

  /** Its instances are terminated. Throws InvalidFleetId.NotFound; IncorrectState for one that is deleted already. */
  async delete(scope: Scope, id: string): Promise<void> {
    const { state } = this.#deps
    const fleet = await this.get(scope, id)
    if (fleet.state !== 'active') throw new KilnError('IncorrectState', `The fleet '${id}' is ${fleet.state}`)
    const instanceIds = fleet.groups.flatMap((group) => group.instanceIds)
    if (instanceIds.length > 0) await this.#instances.terminate(scope, instanceIds)
    await state.fleets.update(id, { state: 'deleted_terminating' })
  }
}

type Member = Awaited<ReturnType<Repositories['fleets']['instancesOf']>>[number]

function groupsOf(members: readonly Member[]): FleetGroup[] {
  const groups = new Map<string, FleetGroup>()
  for (const { pool, instanceType, instanceId, isSpot } of members) {
    const lifecycle = Number(isSpot) === 1 ? 'spot' : 'on-demand'
    const key = `${pool} ${lifecycle}`
    const group = groups.get(key) ?? { pool, lifecycle, instanceType, instanceIds: [] }
    group.instanceIds.push(instanceId)
    groups.set(key, group)
  }
  return [...groups.values()]
}

/** What is no refusal is a fault, and is thrown on. */
function errorOf(error: unknown, pool: number, lifecycle: Lifecycle): FleetError {
  if (!isKilnError(error)) throw error
  return { pool, lifecycle, code: error.code, message: error.message }
}

const notFound = (ids: readonly string[]) =>
  new KilnError('InvalidFleetId.NotFound', `The fleet ID '${ids.join(', ')}' does not exist`)
