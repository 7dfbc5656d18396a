/** Fleets of the type `instant`. Source: their operations in the EC2 API reference. */
import type {
  CreateFleetError,
  CreateFleetInstance,
  CreateFleetRequest,
  DeleteFleetErrorItem,
  DeleteFleetSuccessItem,
  FleetData,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { FleetView } from '../../../cloud/fleets/fleets.ts'
import { isKilnError, KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readPools, type ToldPool, toldOverrides } from '../shared/fleet-pools.ts'
import { readTargets } from '../shared/fleet-targets.ts'
import { readId, readIds } from '../shared/ids.ts'
import { launchTagTypes } from '../shared/launch-request.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags } from '../shared/views.ts'

type Rooms = Pick<Cloud, 'fleets' | 'launchTemplates' | 'tags'>

/** What is kept of a request to be told. */
interface Specification {
  pools: ToldPool[]
  request: Pick<
    CreateFleetRequest,
    'LaunchTemplateConfigs' | 'TargetCapacitySpecification' | 'SpotOptions' | 'OnDemandOptions'
  >
}

export const fleetHandlers = {
  async CreateFleet(input, context) {
    refuseUnsupported(input)
    const { fleet: tags } = readTagSpecifications(input.TagSpecifications, ['fleet', ...launchTagTypes])
    const targets = readTargets(input)
    const pools = await readPools(context, input.LaunchTemplateConfigs, {
      tags: (input.TagSpecifications ?? []).filter(({ ResourceType: type }) => type !== 'fleet'),
      interruption: input.SpotOptions?.InstanceInterruptionBehavior,
    })
    const { LaunchTemplateConfigs, TargetCapacitySpecification, SpotOptions, OnDemandOptions } = input
    const request = { LaunchTemplateConfigs, TargetCapacitySpecification, SpotOptions, OnDemandOptions }
    const specification: Specification = { pools: pools.map(({ told }) => told), request }
    const fleet = await context.cloud.fleets.create(scopeOf(context), {
      ...{ targets, tags, pools: pools.map(({ wish }) => wish) },
      specification: JSON.stringify(specification),
      clientToken: readClientToken(input),
    })
    return { FleetId: fleet.id, Errors: ec2Errors(fleet), Instances: ec2Instances(fleet) }
  },

  async DescribeFleets(input, context) {
    const ids = readIds('fleet', input.FleetIds)
    const page = readPage('DescribeFleets', input, context, { min: 1 })
    const filters = readFilters(input.Filters)
    // Instant fleets are told to those who name them, and there are no others.
    const { items, next } = await context.cloud.fleets.list(scopeOf(context), { ids: ids ?? [], filters, page })
    const tags = await tagsOf(context, items)
    return {
      Fleets: items.map((fleet) => ec2Fleet(fleet, tags.get(fleet.id))),
      NextToken: nextTokenOf('DescribeFleets', context, next),
    }
  },

  async DescribeFleetInstances(input, context) {
    const { cloud } = context
    await cloud.fleets.get(scopeOf(context), readId('fleet', input.FleetId!))
    throw new KilnError(
      'UnsupportedOperation',
      'DescribeFleetInstances does not support fleets of type instant: DescribeFleets tells their instances (FleetId)',
    )
  },

  async DeleteFleets(input, context) {
    const ids = [...new Set(input.FleetIds ?? [])]
    if (ids.length === 0) throw new KilnError('MissingParameter', 'The request must contain the parameter FleetId')
    if (ids.length > limits.fleetsPerDeletion) {
      throw new KilnError(
        'InvalidParameterValue',
        `The parameter FleetId has ${ids.length} items; at most ${limits.fleetsPerDeletion} are allowed.`,
      )
    }
    if (!input.TerminateInstances) {
      throw new KilnError(
        'UnsupportedOperation',
        'Fleets of type instant are deleted with their instances: NoTerminateInstances (TerminateInstances=false) is not supported',
      )
    }
    const done: DeleteFleetSuccessItem[] = []
    const failed: DeleteFleetErrorItem[] = []
    for (const FleetId of ids) {
      try {
        await context.cloud.fleets.delete(scopeOf(context), readId('fleet', FleetId))
        done.push({ FleetId, CurrentFleetState: 'deleted_terminating', PreviousFleetState: 'active' })
      } catch (error) {
        if (!isKilnError(error)) throw error
        failed.push({
          FleetId,
          Error: { Code: deletionCodes[error.code] ?? 'unexpectedError', Message: error.message },
        })
      }
    }
    return { SuccessfulFleetDeletions: done, UnsuccessfulFleetDeletions: failed }
  },
} satisfies Ec2Handlers<Rooms>

const deletionCodes: Readonly<Record<string, 'fleetIdDoesNotExist' | 'fleetIdMalformed' | 'fleetNotInDeletableState'>> =
  {
    'InvalidFleetId.Malformed': 'fleetIdMalformed',
    'InvalidFleetId.NotFound': 'fleetIdDoesNotExist',
    IncorrectState: 'fleetNotInDeletableState',
  }

function refuseUnsupported(input: CreateFleetRequest): void {
  const { Type: type = 'maintain' } = input
  if (type !== 'instant') {
    throw new KilnError('UnsupportedOperation', `Fleets of Type ${type} are not supported yet: instant is`)
  }
  refuseGiven({
    ReservedCapacityOptions: input.ReservedCapacityOptions,
    Context: input.Context,
    ValidFrom: input.ValidFrom,
    ValidUntil: input.ValidUntil,
    TerminateInstancesWithExpiration: input.TerminateInstancesWithExpiration,
    ReplaceUnhealthyInstances: input.ReplaceUnhealthyInstances,
    'SpotOptions.MaintenanceStrategies': input.SpotOptions?.MaintenanceStrategies,
    'OnDemandOptions.CapacityReservationOptions': input.OnDemandOptions?.CapacityReservationOptions,
  })
}

const specificationOf = ({ specification }: FleetView) => JSON.parse(specification) as Specification

function ec2Errors(fleet: FleetView): CreateFleetError[] {
  const { pools } = specificationOf(fleet)
  return fleet.errors.map(({ pool, lifecycle, code, message }) => ({
    ...{ LaunchTemplateAndOverrides: pools[pool], Lifecycle: lifecycle, ErrorCode: code, ErrorMessage: message },
  }))
}

function ec2Instances(fleet: FleetView): CreateFleetInstance[] {
  const { pools } = specificationOf(fleet)
  return fleet.groups.map(({ pool, lifecycle, instanceIds, instanceType }) => ({
    ...{ LaunchTemplateAndOverrides: pools[pool], Lifecycle: lifecycle, InstanceIds: instanceIds },
    InstanceType: instanceType as CreateFleetInstance['InstanceType'],
  }))
}

function ec2Fleet(fleet: FleetView, tags: readonly Tag[] | undefined): FleetData {
  const { request } = specificationOf(fleet)
  return {
    ...{ FleetId: fleet.id, Type: 'instant', FleetState: fleet.state, CreateTime: new Date(fleet.createdAt) },
    ActivityStatus: fleet.errors.length === 0 ? 'fulfilled' : 'error',
    ClientToken: fleet.clientToken ?? undefined,
    ExcessCapacityTerminationPolicy: 'no-termination',
    ...{ FulfilledCapacity: fleet.fulfilled, FulfilledOnDemandCapacity: fleet.fulfilledOnDemand },
    LaunchTemplateConfigs: request.LaunchTemplateConfigs?.map((config) => ({
      ...config,
      Overrides: config.Overrides?.map(toldOverrides),
    })),
    TargetCapacitySpecification: request.TargetCapacitySpecification,
    SpotOptions: request.SpotOptions as FleetData['SpotOptions'],
    OnDemandOptions: request.OnDemandOptions,
    ...{ TerminateInstancesWithExpiration: false, ReplaceUnhealthyInstances: false },
    ...{ Errors: ec2Errors(fleet), Instances: ec2Instances(fleet), Tags: ec2Tags(tags) },
  }
}

function tagsOf(context: RequestContext<Rooms>, fleets: readonly FleetView[]) {
  return context.cloud.tags.of(
    scopeOf(context),
    fleets.map((fleet) => fleet.id),
  )
}
