/** The ways to launch an instance that a fleet is given: launch templates, and what each launch says otherwise. */
import type {
  FleetLaunchTemplateConfigRequest,
  FleetLaunchTemplateOverrides,
  FleetLaunchTemplateOverridesRequest,
  FleetLaunchTemplateSpecification,
  RequestLaunchTemplateData,
  ResponseLaunchTemplateData,
  RunInstancesRequest,
  TagSpecification,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { PoolWish } from '../../../cloud/fleets/fleets.ts'
import type { LaunchRequest } from '../../../cloud/instances/launch.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { RequestContext } from '../handler.ts'
import { readLaunch } from './launch-request.ts'
import { templateData } from './launch-template-data.ts'
import { readTemplateRef, readVersion } from './launch-template-refs.ts'
import { scopeOf } from './scope.ts'
import { readSpotTerms } from './spot-terms.ts'
import { readTagSpecifications } from './tag-specifications.ts'
import { withTemplate } from './template-launch.ts'
import { refuseGiven } from './unsupported.ts'

/** As answers tell it. */
export interface ToldPool {
  LaunchTemplateSpecification: FleetLaunchTemplateSpecification
  Overrides: FleetLaunchTemplateOverrides
}

export interface FleetPool {
  wish: PoolWish
  told: ToldPool
}

export interface LaunchDefaults {
  /** Of what is launched. */
  tags: TagSpecification[]
  interruption: 'hibernate' | 'stop' | 'terminate' | undefined
}

/** Throws what the launch templates are refused with; what a launch would be refused with is told with the fleet. */
export async function readPools(
  context: RequestContext<Pick<Cloud, 'launchTemplates'>>,
  configs: readonly FleetLaunchTemplateConfigRequest[] | undefined,
  defaults: LaunchDefaults,
): Promise<FleetPool[]> {
  if (!configs?.length)
    throw new KilnError('MissingParameter', 'The request must contain the parameter LaunchTemplateConfigs')
  const pools: FleetPool[] = []
  for (const { LaunchTemplateSpecification: template, Overrides } of configs) {
    refuseGiven({ LaunchTemplateSpecificationUserData: template?.LaunchTemplateSpecificationUserData })
    if (!template?.Version) {
      throw new KilnError(
        'MissingParameter',
        'The request must contain the parameter LaunchTemplateConfigs.LaunchTemplateSpecification.Version',
      )
    }
    const wanted = readVersion('LaunchTemplateConfigs.LaunchTemplateSpecification.Version', template.Version)
    const found = await context.cloud.launchTemplates.version(scopeOf(context), readTemplateRef(template), wanted)
    const { templateId: id, version, data } = found
    const told = {
      ...{ LaunchTemplateId: id, Version: String(version) },
      LaunchTemplateName: template.LaunchTemplateName,
    }
    for (const overrides of Overrides?.length ? Overrides : [{}]) {
      checkOverrides(overrides)
      const launch: PoolWish['launch'] = (lifecycle) => ({
        ...launchOf(templateData(data), overrides, defaults, lifecycle === 'spot'),
        template: { id, version },
      })
      const wish = { weight: overrides.WeightedCapacity ?? 1, priority: overrides.Priority ?? null, launch }
      pools.push({ wish, told: { LaunchTemplateSpecification: told, Overrides: toldOverrides(overrides) } })
    }
  }
  if (pools.length <= limits.poolsPerFleet) return pools
  throw new KilnError(
    'InvalidParameterValue',
    `LaunchTemplateConfigs have ${pools.length} Overrides; at most ${limits.poolsPerFleet} are allowed.`,
  )
}

/** Answers have no member for some of what a request may say. */
export function toldOverrides(overrides: FleetLaunchTemplateOverridesRequest): FleetLaunchTemplateOverrides {
  const { KeyName: _, IamInstanceProfile: __, MetadataOptions: ___, ...told } = overrides
  return told as FleetLaunchTemplateOverrides
}

const mostWeight = 999

function checkOverrides({ WeightedCapacity: weight = 1, Priority: priority = 0 }: FleetLaunchTemplateOverridesRequest) {
  if (!(weight >= 0.001 && weight <= mostWeight)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${weight}) for parameter WeightedCapacity is invalid. Expected more than 0 and at most ${mostWeight}.`,
    )
  }
  if (priority >= 0) return
  throw new KilnError('InvalidParameterValue', `Value (${priority}) for parameter Priority is invalid. Minimum is 0.`)
}

/** Whether they are spot instances is for the fleet to say, not for the template. */
function launchOf(
  { InstanceMarketOptions: market, ...template }: ResponseLaunchTemplateData,
  overrides: FleetLaunchTemplateOverridesRequest,
  { tags, interruption }: LaunchDefaults,
  isSpot: boolean,
): LaunchRequest {
  const { MaxPrice, WeightedCapacity: _, Priority: __, InstanceRequirements, AvailabilityZone, ...asked } = overrides
  refuseGiven({
    'Overrides.InstanceRequirements': InstanceRequirements,
    'Overrides.AvailabilityZoneId': asked.AvailabilityZoneId,
  })
  const { SubnetId, AvailabilityZoneId: ___, Placement, ...same } = asked
  const request = {
    ...{ ...same, MinCount: 1, MaxCount: 1, TagSpecifications: tags.length > 0 ? tags : undefined },
    Placement: AvailabilityZone ? { ...Placement, AvailabilityZone } : Placement,
  } as RunInstancesRequest
  const whole = inSubnet(withTemplate(template, request), template, SubnetId)
  const launch = readLaunch(whole)
  if (!isSpot) return launch
  const { MaxPrice: templatePrice, ValidUntil: ____, ...options } = market?.SpotOptions ?? {}
  const wish = {
    ...options,
    ...{ MaxPrice: MaxPrice || templatePrice, SpotInstanceType: 'one-time' as const },
    ...(interruption && { InstanceInterruptionBehavior: interruption }),
  }
  const spotTags = readTagSpecifications(
    whole.TagSpecifications?.filter(({ ResourceType }) => ResourceType === 'spot-instances-request'),
    ['spot-instances-request'],
  )
  return { ...launch, spot: readSpotTerms(wish, 'Overrides.MaxPrice', whole, spotTags['spot-instances-request']) }
}

/** Where the template describes an interface, the subnet is the interface's. */
function inSubnet(
  request: RunInstancesRequest,
  { NetworkInterfaces: interfaces }: RequestLaunchTemplateData | ResponseLaunchTemplateData,
  SubnetId: string | undefined,
): RunInstancesRequest {
  if (!SubnetId) return request
  if (!interfaces?.length) return { ...request, SubnetId }
  return { ...request, NetworkInterfaces: request.NetworkInterfaces?.map((nic) => ({ ...nic, SubnetId })) }
}
