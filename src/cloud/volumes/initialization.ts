/**
 * How a volume comes to hold all that it was made of. Source: "Initialize Amazon EBS volumes" in the EBS user guide.
 */
import { KilnError } from '../../lib/errors.ts'

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
