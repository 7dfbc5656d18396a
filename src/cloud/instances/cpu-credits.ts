/**
 * How burstable instances use CPU credits. Machines are never throttled and surplus credits are not charged: what is set is
 * kept and told, as the clients that set it expect. Source: "Unlimited mode for burstable performance instances".
 */
import { KilnError } from '../../lib/errors.ts'
import type { AccountSettings } from '../../state/account-settings.ts'
import type { Instance } from '../../state/instances.ts'
import { instanceTypes } from './instance-types.ts'

export type CpuCredits = 'standard' | 'unlimited'

/** What a new instance has of each family that has credits, where its account set nothing. */
const initial = { t2: 'standard', t3: 'unlimited', t3a: 'unlimited', t4g: 'unlimited' } as const

export type CreditFamily = keyof typeof initial

export const creditFamilies = Object.keys(initial) as CreditFamily[]

export const burstableTypes: readonly string[] = [...instanceTypes.values()]
  .filter((type) => type.burstable)
  .map((type) => type.name)

export const isBurstable = (instanceType: string): boolean => instanceTypes.get(instanceType)?.burstable === true

/** Throws InstanceCreditSpecification.NotSupported for an instance without credits. */
export function checkBurstable({ id, instanceType }: { id: string; instanceType: string }): void {
  if (isBurstable(instanceType)) return
  throw new KilnError(
    'InstanceCreditSpecification.NotSupported',
    `The instance '${id}' has the type ${instanceType}, which has no CPU credits (InstanceId)`,
  )
}

/** What new instances of the family have, for an account that set these. */
export function defaultCredits(settings: AccountSettings, family: CreditFamily): CpuCredits {
  return settings[`${family}Credits`] ?? initial[family]
}

/** What a launch gives its instances; null for a type without credits, for which none can be wished. */
export function launchCredits(
  settings: AccountSettings,
  instanceType: string,
  wish: CpuCredits | null,
): CpuCredits | null {
  if (isBurstable(instanceType)) return wish ?? defaultCredits(settings, familyOf(instanceType))
  if (!wish) return null
  throw new KilnError(
    'InstanceCreditSpecification.NotSupported',
    `The type ${instanceType} has no CPU credits (CreditSpecification.CpuCredits)`,
  )
}

/** Of a burstable instance. One that became burstable later has what its family has. */
export function creditsOf({ cpuCredits, instanceType }: Pick<Instance, 'cpuCredits' | 'instanceType'>): CpuCredits {
  return cpuCredits ?? initial[familyOf(instanceType)]
}

const familyOf = (instanceType: string) => instanceType.split('.')[0] as CreditFamily
