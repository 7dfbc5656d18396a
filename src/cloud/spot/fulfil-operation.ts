/**
 * The work behind RequestSpotInstances: launches the instance as soon as time and price allow. The launch and the request's
 * new state are one transaction, so that a request is fulfilled once whatever happens meanwhile.
 */
import { isKilnError, type KilnError } from '../../lib/errors.ts'
import type { OperationKind } from '../../operations/operation.ts'
import type { SpotRequest } from '../../state/spot-requests.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import type { Launches, LaunchRequest } from '../instances/launch.ts'
import { tooLow } from './market.ts'
import { statusOf } from './request-rows.ts'

export const fulfilKind = 'fulfil-spot-request'

const capacityAgainMs = 5000
/** The longest that nobody looks at an open request: prices change with the sheet. */
const lookAgainMs = 60_000

/** What may be otherwise in a moment, without the request's doing. */
const passing: ReadonlySet<string> = new Set([
  'InsufficientInstanceCapacity',
  'InsufficientFreeAddressesInSubnet',
  'InvalidIPAddress.InUse',
  'Unavailable',
  'ServerBusy',
])

type Owner = Pick<SpotRequest, 'id' | 'accountId' | 'region'>

export async function enqueueFulfilment(deps: CloudDeps, tx: Repositories, request: Owner): Promise<void> {
  const { id: subjectId, accountId, region } = request
  await deps.operations.enqueue(tx, { kind: fulfilKind, subjectId, accountId, region, input: {} })
}

export function fulfilOperation(deps: CloudDeps, launches: Launches): OperationKind<Record<string, never>, unknown> {
  const { state, clock, prices } = deps

  const ends = (id: string, patch: Partial<SpotRequest>) =>
    state.spotRequests.move(id, ['open'], { ...patch, endedAt: clock.now() })

  /** Tells why the request still waits, once for each reason. */
  async function waits(row: SpotRequest, statusCode: string, statusMessage: string, againInMs: number) {
    if (row.statusCode !== statusCode || row.statusMessage !== statusMessage) {
      await state.spotRequests.move(row.id, ['open'], { statusCode, statusMessage, statusAt: clock.now() })
    }
    const leftMs = row.validUntil === null ? lookAgainMs : Math.max(1, row.validUntil - clock.now())
    return { againInMs: Math.min(againInMs, leftMs, lookAgainMs) }
  }

  async function refused(row: SpotRequest, error: KilnError) {
    if (passing.has(error.code)) return waits(row, 'capacity-not-available', error.message, capacityAgainMs)
    const statusMessage = `${error.code}: ${error.message}`
    await ends(row.id, { state: 'failed', statusCode: 'bad-parameters', statusMessage, statusAt: clock.now() })
    return undefined
  }

  return {
    kind: fulfilKind,
    lane: 'spot',
    steps: [
      {
        name: 'launch',
        async run({ subjectId, accountId, region }) {
          const row = await state.spotRequests.get(subjectId)
          if (row?.state !== 'open') return
          const now = clock.now()
          if (row.validUntil !== null && row.validUntil <= now) {
            await ends(row.id, { ...statusOf('schedule-expired', now), state: 'cancelled' })
            return
          }
          if (row.validFrom !== null && row.validFrom > now) {
            const { statusCode, statusMessage } = statusOf('not-scheduled-yet', now)
            return waits(row, statusCode, statusMessage, row.validFrom - now)
          }
          const launch = JSON.parse(row.launch) as LaunchRequest
          const low = tooLow(prices, { instanceType: launch.instanceType, region, maxPrice: row.maxPrice })
          if (low) return waits(row, 'price-too-low', low, lookAgainMs)
          try {
            await launches.launch({ accountId, region }, { ...launch, spotRequestId: row.id })
          } catch (error) {
            if (!isKilnError(error)) throw error
            // Cancelled in the meantime, perhaps by whoever took away what it needs.
            if ((await state.spotRequests.get(row.id))?.state !== 'open') return
            return refused(row, error)
          }
        },
      },
    ],
    async fail({ subjectId }, { message: statusMessage }) {
      const statusAt = clock.now()
      await ends(subjectId, { state: 'closed', statusCode: 'system-error', statusMessage, statusAt })
    },
  }
}
