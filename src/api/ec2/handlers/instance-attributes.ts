import type {
  InstanceAttribute,
  InstanceBlockDeviceMappingSpecification,
  ModifyInstanceAttributeRequest,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import type { InstanceView } from '../../../cloud/instances/instance-views.ts'
import { metadataOptions } from '../../../cloud/instances/metadata-options.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readId } from '../shared/ids.ts'
import { ec2AttachedDevices } from '../shared/instance-shapes.ts'
import { readUserData } from '../shared/launch-request.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const instanceAttributeHandlers: Ec2Handlers<Cloud> = {
  async DescribeInstanceAttribute(input, context) {
    const id = readId('instance', input.InstanceId!)
    const view = await context.cloud.instances.view(scopeOf(context), id)
    return { InstanceId: id, ...instanceAttribute(view, input.Attribute!) }
  },

  async ModifyInstanceAttribute(input, context) {
    const id = readId('instance', input.InstanceId!)
    await modifyAttribute(id, namedAttribute(input), context)
    return {}
  },

  async ModifyInstanceMetadataOptions(input, context) {
    refuseGiven({ HttpProtocolIpv6: input.HttpProtocolIpv6 === 'enabled' })
    const id = readId('instance', input.InstanceId!)
    const instance = await context.cloud.instances.get(scopeOf(context), id)
    const options = metadataOptions(
      {
        httpTokens: instance.httpTokens,
        httpEndpoint: instance.httpEndpoint,
        httpPutResponseHopLimit: instance.httpPutResponseHopLimit,
        instanceMetadataTags: instance.instanceMetadataTags,
      },
      {
        httpTokens: input.HttpTokens === 'required' || input.HttpTokens === 'optional' ? input.HttpTokens : undefined,
        httpEndpoint: input.HttpEndpoint,
        httpPutResponseHopLimit: input.HttpPutResponseHopLimit,
        instanceMetadataTags: input.InstanceMetadataTags,
      },
    )
    await context.cloud.instances.setMetadataOptions(scopeOf(context), id, options)
    return {
      InstanceId: id,
      InstanceMetadataOptions: {
        State: 'applied',
        HttpTokens: options.httpTokens,
        HttpEndpoint: options.httpEndpoint,
        HttpPutResponseHopLimit: options.httpPutResponseHopLimit,
        HttpProtocolIpv6: 'disabled',
        InstanceMetadataTags: options.instanceMetadataTags,
      },
    }
  },
}

function instanceAttribute(view: InstanceView, attribute: string): InstanceAttribute {
  switch (attribute) {
    case 'instanceType':
      return { InstanceType: { Value: view.instanceType } }
    case 'userData':
      // Without user data the element is there and empty: Terraform tells that from an empty value.
      return { UserData: view.userData === null ? {} : { Value: view.userData } }
    case 'disableApiTermination':
      return { DisableApiTermination: { Value: view.disableApiTermination === 1 } }
    case 'disableApiStop':
      return { DisableApiStop: { Value: view.disableApiStop === 1 } }
    case 'instanceInitiatedShutdownBehavior':
      return { InstanceInitiatedShutdownBehavior: { Value: view.shutdownBehavior } }
    case 'rootDeviceName':
      return { RootDeviceName: { Value: view.rootDeviceName } }
    case 'blockDeviceMapping':
      return { BlockDeviceMappings: ec2AttachedDevices(view) }
    case 'groupSet':
      return {
        Groups: view.interfaces.flatMap((nic) => nic.groups.map(({ id, name }) => ({ GroupId: id, GroupName: name }))),
      }
    case 'sourceDestCheck':
      return { SourceDestCheck: { Value: view.interfaces[0]?.sourceDestCheck !== 0 } }
    case 'ebsOptimized':
      return { EbsOptimized: { Value: view.ebsOptimized === 1 } }
    case 'enaSupport':
      return { EnaSupport: { Value: view.enaSupport === 1 } }
    case 'sriovNetSupport':
      return { SriovNetSupport: {} }
    case 'kernel':
      return { KernelId: {} }
    case 'ramdisk':
      return { RamdiskId: {} }
    case 'productCodes':
      return { ProductCodes: [] }
    case 'enclaveOptions':
      return { EnclaveOptions: { Enabled: false } }
    default:
      throw new KilnError('InvalidParameterValue', `Value (${attribute}) for parameter Attribute is invalid.`)
  }
}

/** The old way, `Attribute=… Value=…`, as the new one, a member an attribute. */
function namedAttribute(input: ModifyInstanceAttributeRequest): ModifyInstanceAttributeRequest {
  const { Attribute: attribute, Value: value, ...rest } = input
  if (attribute === undefined) return rest
  if (value === undefined && attribute !== 'blockDeviceMapping' && attribute !== 'groupSet') {
    throw new KilnError('MissingParameter', 'The request must contain the parameter Value')
  }
  const truth = { Value: value === 'true' ? true : value === 'false' ? false : undefined }
  switch (attribute) {
    case 'instanceType':
      return { ...rest, InstanceType: { Value: value } }
    case 'userData':
      return { ...rest, UserData: { Value: Buffer.from(readUserData(value) ?? '', 'base64') } }
    case 'disableApiTermination':
      return { ...rest, DisableApiTermination: truth }
    case 'disableApiStop':
      return { ...rest, DisableApiStop: truth }
    case 'instanceInitiatedShutdownBehavior':
      return { ...rest, InstanceInitiatedShutdownBehavior: { Value: value } }
    case 'sourceDestCheck':
      return { ...rest, SourceDestCheck: truth }
    case 'ebsOptimized':
      return { ...rest, EbsOptimized: truth }
    case 'blockDeviceMapping':
    case 'groupSet':
      return rest
    default:
      throw new KilnError('InvalidParameterValue', `Value (${attribute}) for parameter Attribute cannot be modified.`)
  }
}

function readFlag(name: string, { Value: value }: { Value?: boolean }): 0 | 1 {
  if (value === undefined) throw new KilnError('InvalidParameterValue', `${name}.Value must be true or false`)
  return value ? 1 : 0
}

function readDeviceName({ DeviceName: name }: InstanceBlockDeviceMappingSpecification): string {
  if (name) return name
  throw new KilnError('MissingParameter', 'The request must contain the parameter BlockDeviceMapping.DeviceName')
}

/** The only thing that this operation changes about a device. */
function readDeleteOnTermination({
  Ebs: ebs,
  NoDevice,
  VirtualName,
}: InstanceBlockDeviceMappingSpecification): boolean {
  refuseGiven({ 'BlockDeviceMapping.NoDevice': NoDevice, 'BlockDeviceMapping.VirtualName': VirtualName })
  refuseGiven({ 'BlockDeviceMapping.Ebs.VolumeId': ebs?.VolumeId })
  if (ebs?.DeleteOnTermination !== undefined) return ebs.DeleteOnTermination
  throw new KilnError(
    'MissingParameter',
    'The request must contain the parameter BlockDeviceMapping.Ebs.DeleteOnTermination',
  )
}

/** EC2 changes one attribute a request. */
async function modifyAttribute(
  id: string,
  input: ModifyInstanceAttributeRequest,
  context: RequestContext<Cloud>,
): Promise<void> {
  const { instances } = context.cloud
  const changes: (() => Promise<void>)[] = []
  const { Kernel, Ramdisk, SriovNetSupport, EnaSupport, EnclaveOptions } = input
  refuseGiven({ Kernel, Ramdisk, SriovNetSupport, EnaSupport, EnclaveOptions })
  if (input.InstanceType) {
    const type = input.InstanceType.Value ?? ''
    if (!instanceTypes.has(type)) {
      throw new KilnError('InvalidInstanceAttributeValue', `Invalid value '${type}' for InstanceType.Value`)
    }
    changes.push(() => instances.modify(scopeOf(context), id, { instanceType: type }, 'instanceType'))
  }
  if (input.UserData) {
    // The member is a blob: the codec has taken one layer of base64 off.
    const userData = readUserData(Buffer.from(input.UserData.Value ?? []).toString('base64'))
    changes.push(() => instances.modify(scopeOf(context), id, { userData }, 'userData'))
  }
  if (input.InstanceInitiatedShutdownBehavior) {
    const { Value: value } = input.InstanceInitiatedShutdownBehavior
    if (value !== 'stop' && value !== 'terminate') {
      throw new KilnError(
        'InvalidParameterValue',
        `Invalid value '${value}' for InstanceInitiatedShutdownBehavior: stop or terminate`,
      )
    }
    changes.push(() => instances.modify(scopeOf(context), id, { shutdownBehavior: value }))
  }
  if (input.DisableApiTermination) {
    const disableApiTermination = readFlag('DisableApiTermination', input.DisableApiTermination)
    changes.push(() => instances.modify(scopeOf(context), id, { disableApiTermination }))
  }
  if (input.DisableApiStop) {
    const disableApiStop = readFlag('DisableApiStop', input.DisableApiStop)
    changes.push(() => instances.modify(scopeOf(context), id, { disableApiStop }))
  }
  if (input.SourceDestCheck) {
    const sourceDestCheck = readFlag('SourceDestCheck', input.SourceDestCheck)
    changes.push(() => instances.setSourceDestCheck(scopeOf(context), id, sourceDestCheck))
  }
  if (input.EbsOptimized) {
    const ebsOptimized = readFlag('EbsOptimized', input.EbsOptimized)
    changes.push(() => instances.modify(scopeOf(context), id, { ebsOptimized }, 'ebsOptimized'))
  }
  if (input.Groups?.length) {
    const groups = input.Groups.map((group) => readId('securityGroup', group))
    changes.push(() => instances.setGroups(scopeOf(context), id, groups))
  }
  if (input.BlockDeviceMappings?.length) {
    const wishes = input.BlockDeviceMappings.map((mapping) => ({
      deviceName: readDeviceName(mapping),
      deleteOnTermination: readDeleteOnTermination(mapping),
    }))
    changes.push(() => instances.setDeleteOnTermination(scopeOf(context), id, wishes))
  }
  const [change, another] = changes
  if (!change) throw new KilnError('InvalidParameterCombination', 'No attributes specified.')
  if (another) throw new KilnError('InvalidParameterCombination', 'Fields for multiple attribute types specified')
  await change()
}
