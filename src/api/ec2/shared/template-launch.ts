/**
 * RunInstances from a launch template: one request, made of what the template says and of what the caller says, which
 * wins. Source: "Launch EC2 instances using a launch template" in the EC2 user guide.
 */
import type {
  BlockDeviceMapping,
  RequestLaunchTemplateData,
  ResponseLaunchTemplateData,
  RunInstancesRequest,
  TagSpecification,
  ValidationWarning,
} from '@aws-sdk/client-ec2'
import { isKilnError } from '../../../lib/errors.ts'
import { readLaunch } from './launch-request.ts'
import { templateData } from './launch-template-data.ts'
import { refuseGiven } from './unsupported.ts'

/** Throws UnsupportedOperation for a template that says what is asked of an instance type instead of naming one. */
export function withTemplate(data: ResponseLaunchTemplateData, request: RunInstancesRequest): RunInstancesRequest {
  const { LaunchTemplate: _, ...asked } = request
  const given = Object.fromEntries(
    // Some tools send an empty text for none.
    Object.entries(asked).filter(([, value]) => value !== undefined && value !== ''),
  ) as unknown as RunInstancesRequest
  const base = launchOf(data)
  if (given.InstanceType) delete base.InstanceRequirements
  refuseGiven({ 'LaunchTemplateData.InstanceRequirements': base.InstanceRequirements })
  if (given.SecurityGroupIds?.length || given.SecurityGroups?.length) {
    delete base.SecurityGroupIds
    delete base.SecurityGroups
  }
  const { InstanceRequirements: __, ...rest } = base
  return {
    ...rest,
    ...given,
    Monitoring: joined(rest.Monitoring, given.Monitoring),
    Placement: joined(rest.Placement, given.Placement),
    MetadataOptions: joined(rest.MetadataOptions, given.MetadataOptions),
    BlockDeviceMappings: joinedDevices(rest.BlockDeviceMappings, given.BlockDeviceMappings),
    TagSpecifications: joinedTags(rest.TagSpecifications, given.TagSpecifications),
  }
}

/** What would be refused if an instance were launched from nothing but the template. */
export function templateWarning(text: string): ValidationWarning | undefined {
  const data = templateData(text)
  const request = { MinCount: 1, MaxCount: 1, ...(data.ImageId ? {} : { ImageId: anyImage }) }
  try {
    readLaunch(withTemplate(data, request))
    return undefined
  } catch (error) {
    if (!isKilnError(error)) throw error
    return { Errors: [{ Code: error.code, Message: error.message }] }
  }
}

/** A template need not name an image. */
const anyImage = 'ami-00000000000000000'

type TemplateLaunch = Partial<RunInstancesRequest> & Pick<RequestLaunchTemplateData, 'InstanceRequirements'>

/** Two parameters are called otherwise in RunInstances. */
function launchOf(data: ResponseLaunchTemplateData): TemplateLaunch {
  const { RamDiskId, ElasticGpuSpecifications, ...same } = data as RequestLaunchTemplateData
  return {
    ...(same as TemplateLaunch),
    ...(RamDiskId !== undefined && { RamdiskId: RamDiskId }),
    ...(ElasticGpuSpecifications && { ElasticGpuSpecification: ElasticGpuSpecifications }),
  }
}

function joined<Options extends object>(base: Options | undefined, over: Options | undefined): Options | undefined {
  return base && over ? { ...base, ...over } : (over ?? base)
}

/** A device that the caller names is described by the caller alone. */
function joinedDevices(
  base: BlockDeviceMapping[] | undefined,
  over: BlockDeviceMapping[] | undefined,
): BlockDeviceMapping[] | undefined {
  if (!base || !over) return over ?? base
  const named = new Set(over.map((mapping) => mapping.DeviceName))
  return [...base.filter((mapping) => !named.has(mapping.DeviceName)), ...over]
}

/** Tags of both; of two with the same key on the same kind of resource, the caller's. */
function joinedTags(
  base: TagSpecification[] | undefined,
  over: TagSpecification[] | undefined,
): TagSpecification[] | undefined {
  if (!base || !over) return over ?? base
  const extended = base.map((specification) => {
    const asked = over.find(({ ResourceType: type }) => type === specification.ResourceType)?.Tags ?? []
    const keys = new Set(asked.map((tag) => tag.Key))
    const kept = (specification.Tags ?? []).filter((tag) => !keys.has(tag.Key))
    return { ...specification, Tags: [...kept, ...asked] }
  })
  const types = new Set(base.map((specification) => specification.ResourceType))
  return [...extended, ...over.filter((specification) => !types.has(specification.ResourceType))]
}
