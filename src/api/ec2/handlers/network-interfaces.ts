import type { ModifyNetworkInterfaceAttributeRequest, PrivateIpAddressSpecification } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Attachment, ec2NetworkInterface } from '../shared/vpc-shapes.ts'

export const networkInterfaceHandlers = {
  async CreateNetworkInterface(input, context) {
    const { SubnetId, Description, Groups, PrivateIpAddress, PrivateIpAddresses, InterfaceType, ...more } = input
    const { TagSpecifications, ClientToken, DryRun: _, ...others } = more
    refuseGiven({ ...others, InterfaceType: (InterfaceType ?? 'interface') !== 'interface' })
    const { 'network-interface': tags } = readTagSpecifications(TagSpecifications, ['network-interface'])
    const nic = await context.cloud.networkInterfaces.create(scopeOf(context), {
      subnetId: readId('subnet', SubnetId!),
      privateIp: readPrivateIp(PrivateIpAddress, PrivateIpAddresses),
      groupIds: (Groups ?? []).map((id) => readId('securityGroup', id)),
      description: Description ?? '',
      tags,
      clientToken: readClientToken(input),
    })
    return { NetworkInterface: ec2NetworkInterface(nic, tags), ClientToken }
  },

  async DeleteNetworkInterface(input, context) {
    const id = readId('networkInterface', input.NetworkInterfaceId!)
    await context.cloud.networkInterfaces.delete(scopeOf(context), id)
    return {}
  },

  async AttachNetworkInterface(input, context) {
    const { NetworkInterfaceId, InstanceId, DeviceIndex, NetworkCardIndex, DryRun: _, ...others } = input
    refuseGiven({ ...others, NetworkCardIndex: (NetworkCardIndex ?? 0) !== 0 })
    const id = readId('networkInterface', NetworkInterfaceId!)
    const instanceId = readId('instance', InstanceId!)
    const { networkInterfaces } = context.cloud
    const attachmentId = await networkInterfaces.attach(scopeOf(context), id, instanceId, DeviceIndex!)
    return { AttachmentId: attachmentId, NetworkCardIndex: 0 }
  },

  async DetachNetworkInterface(input, context) {
    const id = readId('networkInterfaceAttachment', input.AttachmentId!)
    await context.cloud.networkInterfaces.detach(scopeOf(context), id, { force: input.Force === true })
    return {}
  },

  async ModifyNetworkInterfaceAttribute(input, context) {
    const { networkInterfaces } = context.cloud
    const scope = scopeOf(context)
    const id = readId('networkInterface', input.NetworkInterfaceId!)
    const [attribute, ...others] = givenAttributes(input)
    if (others.length > 0) {
      throw new KilnError('InvalidParameterCombination', `One attribute is changed at a time: ${attribute}, ${others}`)
    }
    switch (attribute) {
      case 'Description':
        await networkInterfaces.modify(scope, id, { description: input.Description!.Value ?? '' })
        return {}
      case 'SourceDestCheck': {
        const isOn = readFlag('SourceDestCheck.Value', input.SourceDestCheck!.Value)
        await networkInterfaces.modify(scope, id, { sourceDestCheck: isOn ? 1 : 0 })
        return {}
      }
      case 'Groups': {
        const groups = input.Groups!.map((group) => readId('securityGroup', group))
        await networkInterfaces.setGroups(scope, id, groups)
        return {}
      }
      case 'Attachment': {
        const { AttachmentId, DeleteOnTermination, DefaultEnaQueueCount, EnaQueueCount } = input.Attachment!
        refuseGiven({
          'Attachment.DefaultEnaQueueCount': DefaultEnaQueueCount,
          'Attachment.EnaQueueCount': EnaQueueCount,
        })
        if (!AttachmentId) {
          throw new KilnError('MissingParameter', 'The request must contain the parameter Attachment.AttachmentId')
        }
        const attachmentId = readId('networkInterfaceAttachment', AttachmentId)
        const isDeleted = readFlag('Attachment.DeleteOnTermination', DeleteOnTermination)
        await networkInterfaces.setDeleteOnTermination(scope, id, attachmentId, isDeleted)
        return {}
      }
      default:
        throw new KilnError(
          'MissingParameter',
          'No attribute (Description, Groups, SourceDestCheck, Attachment) is given',
        )
    }
  },

  async ResetNetworkInterfaceAttribute(input, context) {
    const given = input.SourceDestCheck
    if (given !== undefined && given !== 'true' && given !== 'sourceDestCheck' && given !== '') {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${given.slice(0, 100)}) for parameter SourceDestCheck is invalid`,
      )
    }
    const id = readId('networkInterface', input.NetworkInterfaceId!)
    await context.cloud.networkInterfaces.modify(scopeOf(context), id, { sourceDestCheck: 1 })
    return {}
  },

  async DescribeNetworkInterfaceAttribute(input, context) {
    const id = readId('networkInterface', input.NetworkInterfaceId!)
    const nic = (await context.cloud.networkInterfaces.list(scopeOf(context), { ids: [id] })).items[0]!
    const answer = { NetworkInterfaceId: id }
    switch (input.Attribute) {
      case 'description':
        return { ...answer, Description: { Value: nic.description } }
      case 'groupSet':
        return { ...answer, Groups: nic.groups.map((group) => ({ GroupId: group.id, GroupName: group.name })) }
      case 'sourceDestCheck':
        return { ...answer, SourceDestCheck: { Value: nic.sourceDestCheck === 1 } }
      case 'attachment':
        return { ...answer, Attachment: ec2Attachment(nic) }
      case 'associatePublicIpAddress':
        return { ...answer, AssociatePublicIpAddress: nic.publicIp !== null && nic.allocationId === null }
      default:
        throw new KilnError('MissingParameter', 'The request must contain the parameter attribute')
    }
  },

  async DescribeNetworkInterfaces(input, context) {
    const { items, NextToken } = await describe('DescribeNetworkInterfaces', input, context, {
      kind: 'networkInterface',
      ids: ['NetworkInterfaceIds', input.NetworkInterfaceIds],
      list: (request) => context.cloud.networkInterfaces.list(scopeOf(context), request),
      shape: ec2NetworkInterface,
    })
    return { NetworkInterfaces: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'networkInterfaces' | 'tags'>>

/** The address may stand in a list, as Terraform gives it; further ones are not to be had. */
function readPrivateIp(
  given: string | undefined,
  listed: readonly PrivateIpAddressSpecification[] | undefined,
): string | undefined {
  if (!listed?.length) return given || undefined
  const [first, ...others] = listed
  refuseGiven({ 'PrivateIpAddresses.2': others })
  if (given || first!.Primary === false) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The one primary address is given by PrivateIpAddress or by PrivateIpAddresses, and not by both',
    )
  }
  return first!.PrivateIpAddress || undefined
}

/** Those that are served; any other is refused by name. */
function givenAttributes(input: ModifyNetworkInterfaceAttributeRequest): string[] {
  const { Description, Groups, SourceDestCheck, Attachment, NetworkInterfaceId: _, DryRun: __, ...others } = input
  refuseGiven(others)
  const attributes = { Description, Groups: Groups?.length ? Groups : undefined, SourceDestCheck, Attachment }
  return Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : name))
}

function readFlag(name: string, value: boolean | undefined): boolean {
  if (value !== undefined) return value
  throw new KilnError('MissingParameter', `The request must contain the parameter ${name}`)
}
