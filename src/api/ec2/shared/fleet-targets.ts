/** How much of each kind of instances a fleet is to have, and how its ways to launch them are chosen from. */
import type { CreateFleetRequest, OnDemandOptionsRequest, SpotOptionsRequest } from '@aws-sdk/client-ec2'
import type { Lifecycle, Target } from '../../../cloud/fleets/fleets.ts'
import { checkMaxPrice } from '../../../cloud/spot/market.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'

export function readTargets(input: CreateFleetRequest): Record<Lifecycle, Target> {
  const capacities = readCapacities(input)
  const { SpotOptions: spot = {}, OnDemandOptions: onDemand = {} } = input
  return {
    'on-demand': { ...targetOf('OnDemandOptions', onDemand, capacities['on-demand']), spread: 1 },
    spot: { ...targetOf('SpotOptions', spot, capacities.spot), spread: spreadOf(spot) },
  }
}

/** What is said of neither kind is of the default one. */
function readCapacities({ TargetCapacitySpecification: wish }: CreateFleetRequest): Record<Lifecycle, number> {
  const total = wish?.TotalTargetCapacity
  if (total === undefined) {
    throw new KilnError(
      'MissingParameter',
      'The request must contain the parameter TargetCapacitySpecification.TotalTargetCapacity',
    )
  }
  const { OnDemandTargetCapacity: onDemand = 0, SpotTargetCapacity: spot = 0, TargetCapacityUnitType: unit } = wish!
  const type = wish!.DefaultTargetCapacityType ?? 'on-demand'
  if (type !== 'spot' && type !== 'on-demand') {
    throw new KilnError('UnsupportedOperation', `The DefaultTargetCapacityType ${type} is not supported yet`)
  }
  if (unit && unit !== 'units') {
    throw new KilnError('UnsupportedOperation', `The TargetCapacityUnitType ${unit} is not supported yet: units is`)
  }
  checkRange('TotalTargetCapacity', total, 1)
  checkRange('OnDemandTargetCapacity', onDemand, 0)
  checkRange('SpotTargetCapacity', spot, 0)
  const rest = total - onDemand - spot
  if (rest < 0) {
    throw new KilnError(
      'InvalidParameterCombination',
      'OnDemandTargetCapacity and SpotTargetCapacity must not exceed TotalTargetCapacity',
    )
  }
  return { 'on-demand': onDemand + (type === 'spot' ? 0 : rest), spot: spot + (type === 'spot' ? rest : 0) }
}

function checkRange(name: string, value: number, min: number): void {
  if (value >= min && value <= limits.instancesPerRequest) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${value}) for parameter TargetCapacitySpecification.${name} is invalid. Expected ${min} to ${limits.instancesPerRequest}.`,
  )
}

type Options = Pick<
  SpotOptionsRequest & OnDemandOptionsRequest,
  'SingleInstanceType' | 'SingleAvailabilityZone' | 'MinTargetCapacity' | 'MaxTotalPrice'
> & { AllocationStrategy?: string | undefined }

function targetOf(name: string, options: Options, capacity: number): Omit<Target, 'spread'> {
  const { SingleInstanceType = false, SingleAvailabilityZone = false, MinTargetCapacity: least = 0 } = options
  if (options.MaxTotalPrice) checkMaxPrice(options.MaxTotalPrice, `${name}.MaxTotalPrice`)
  if (least < 0) {
    throw new KilnError('InvalidParameterValue', `Value (${least}) for parameter ${name}.MinTargetCapacity is invalid.`)
  }
  if (least > 0 && !SingleInstanceType && !SingleAvailabilityZone) {
    throw new KilnError(
      'InvalidParameterCombination',
      `${name}.MinTargetCapacity needs SingleInstanceType or SingleAvailabilityZone`,
    )
  }
  return {
    ...{ capacity, minCapacity: least, maxTotalPrice: options.MaxTotalPrice || null },
    order: options.AllocationStrategy?.endsWith('prioritized') ? 'priority' : 'price',
    ...{ singleType: SingleInstanceType, singleZone: SingleAvailabilityZone },
  }
}

function spreadOf({ AllocationStrategy: strategy, InstancePoolsToUseCount: count }: SpotOptionsRequest): number {
  if (count === undefined) return strategy === 'diversified' ? limits.poolsPerFleet : 1
  if (strategy !== undefined && strategy !== 'lowest-price') {
    throw new KilnError(
      'InvalidParameterCombination',
      'SpotOptions.InstancePoolsToUseCount needs the AllocationStrategy lowest-price',
    )
  }
  if (count >= 1) return count
  throw new KilnError('InvalidParameterValue', `Value (${count}) for parameter InstancePoolsToUseCount is invalid.`)
}
