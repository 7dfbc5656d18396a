/**
 * How a volume comes to hold all that it was made of. Source: "Initialize Amazon EBS volumes" in the EBS user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume } from '../../state/volumes.ts'
import type { CloudDeps, Scope } from '../deps.ts'

/** Fetches what a volume stands on when there is time, or when somebody asks for it. */
export const hydrateKind = 'hydrate-volume'
/** The same from the first moment on, at the rate that was asked for. */
export const initializeKind = 'initialize-volume'

export interface HydrationInput {
  volumeId: string
}

/**
 * One volume is fetched by one operation at a time. Its subject is not the volume: what else is done about that must not
 * wait until all of it is here.
 */
export const hydrationOf = (volumeId: string) => `${volumeId}:hydration`

/** Lets the volume be fetched from now on, at its rate. Nothing happens when it has none. */
export async function enqueueInitialization(
  { operations }: Pick<CloudDeps, 'operations'>,
  tx: Repositories,
  scope: Scope,
  volume: { id: string; initializationRate?: number | null },
): Promise<void> {
  if (!volume.initializationRate) return
  const input: HydrationInput = { volumeId: volume.id }
  await operations.enqueue(tx, { kind: initializeKind, subjectId: hydrationOf(volume.id), ...scope, input })
}

/** MiB a second. */
const rates = { min: 100, max: 300 }

/** Throws unless the rate can be held, and there is a snapshot to be fetched at it. */
export function checkInitializationRate(rate: number | null, parameter: string, hasSnapshot: boolean): void {
  if (rate === null) return
  if (rate < rates.min || rate > rates.max) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${rate}) for parameter ${parameter} is invalid. It is from ${rates.min} to ${rates.max} MiB/s.`,
    )
  }
  if (hasSnapshot) return
  throw new KilnError(
    'InvalidParameterCombination',
    `The parameter ${parameter} is for volumes that are created from snapshots`,
  )
}

export interface Initialization {
  method: 'default' | 'provisioned-rate' | 'volume-copy'
  /** 0 to 100. */
  percent: number
  /** Known where a rate was asked for. */
  remainingSeconds: number | null
}

export const mib = 1024 ** 2

/** Null for a volume that began empty. */
export async function initializationOf(
  { state, blocks }: Pick<CloudDeps, 'state' | 'blocks'>,
  volume: Volume,
): Promise<Initialization | null> {
  const { id, region, baseRoot, hydratedAt, sourceVolumeId, initializationRate: rate } = volume
  if (baseRoot === null && sourceVolumeId === null) return null
  const method = sourceVolumeId !== null ? 'volume-copy' : rate === null ? 'default' : 'provisioned-rate'
  if (baseRoot === null || hydratedAt !== null) {
    return { method, percent: 100, remainingSeconds: rate === null ? null : 0 }
  }
  const [underway] = await state.operations.unfinishedOf(hydrationOf(id))
  const percent = Math.min(99, underway?.progress ?? 0)
  if (rate === null) return { method, percent, remainingSeconds: null }
  const info = await blocks.info(region, baseRoot).catch(() => undefined)
  const leftBytes = info && (info.dataBytes * (100 - percent)) / 100
  return { method, percent, remainingSeconds: leftBytes === undefined ? null : Math.ceil(leftBytes / (rate * mib)) }
}
