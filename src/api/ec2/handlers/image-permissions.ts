/** Who else may launch an image, and what it says of itself. */
import type { ModifyImageAttributeRequest } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import {
  checkRepetition,
  flatPermissions,
  type GranteeErrors,
  readGrantees,
  tooManyGrantees,
} from '../shared/grantees.ts'
import { readId } from '../shared/ids.ts'
import { missing, notTogether } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const imagePermissionHandlers = {
  async ModifyImageAttribute(input, context) {
    const { ProductCodes, OrganizationArns, OrganizationalUnitArns, ImdsSupport } = input
    refuseGiven({ ProductCodes, OrganizationArns, OrganizationalUnitArns, ImdsSupport })
    const id = readId('image', input.ImageId!)
    const change = readChange(input)
    if ('description' in change) await context.cloud.images.setDescription(scopeOf(context), id, change.description)
    else await context.cloud.imagePermissions.change(scopeOf(context), id, change)
    return {}
  },

  async ResetImageAttribute(input, context) {
    await context.cloud.imagePermissions.reset(scopeOf(context), readId('image', input.ImageId!))
    return {}
  },
} satisfies Ec2Handlers<Pick<Cloud, 'images' | 'imagePermissions'>>

type Change = { description: string } | { add: string[]; remove: string[] }

/** One attribute, in the newer form (a member of its own) or the older one (Attribute and what belongs to it). */
function readChange(input: ModifyImageAttributeRequest): Change {
  const { Attribute, Value, Description, LaunchPermission, OperationType, UserIds, UserGroups } = input
  const isFlatPermission = OperationType !== undefined || !!UserIds?.length || !!UserGroups?.length
  const given = {
    Value: Value !== undefined,
    Description: Description !== undefined,
    LaunchPermission: LaunchPermission !== undefined,
    OperationType: isFlatPermission && LaunchPermission === undefined,
  }
  const names = Object.entries(given).flatMap(([name, isGiven]) => (isGiven ? [name] : []))
  if (names.length > 1) throw notTogether(names[0]!, names[1]!)
  const [name] = names
  checkAttribute(Attribute, name)
  switch (name) {
    case 'Value':
      return { description: Value! }
    case 'Description':
      if (Description!.Value === undefined) throw missing('Description.Value')
      return { description: Description!.Value }
    case 'LaunchPermission':
      return readPermissions(input)
    default:
      return readFlatPermissions(input)
  }
}

/** Throws unless what is given belongs to the attribute that is named, if one is. */
function checkAttribute(attribute: string | undefined, given: string | undefined): void {
  if (attribute !== undefined && attribute !== 'description' && attribute !== 'launchPermission') {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${attribute}) for parameter Attribute is invalid. It can be description or launchPermission.`,
    )
  }
  if (given === undefined) {
    if (attribute === 'description') throw missing('Value')
    throw missing(attribute === undefined ? 'Attribute' : 'OperationType')
  }
  if (given === 'Value' && attribute === undefined) throw missing('Attribute')
  const belongsTo = given === 'Value' || given === 'Description' ? 'description' : 'launchPermission'
  if (attribute === undefined || attribute === belongsTo) return
  throw notTogether(given, `Attribute ${attribute}`)
}

function readPermissions(input: ModifyImageAttributeRequest): Change {
  const { LaunchPermission: { Add, Remove } = {}, OperationType: operation, UserIds, UserGroups } = input
  const changes = [...(Add ?? []), ...(Remove ?? [])]
  if (changes.length === 0) throw missing('LaunchPermission.Add')
  for (const { OrganizationArn, OrganizationalUnitArn } of changes) {
    refuseGiven({
      'LaunchPermission.OrganizationArn': OrganizationArn,
      'LaunchPermission.OrganizationalUnitArn': OrganizationalUnitArn,
    })
  }
  checkRepetition({ operation, flat: flatPermissions(UserIds, UserGroups) }, changes, 'LaunchPermission')
  checkCount(changes.length)
  return {
    add: readGrantees(Add, errors, 'LaunchPermission.Add'),
    remove: readGrantees(Remove, errors, 'LaunchPermission.Remove'),
  }
}

function readFlatPermissions({ OperationType, UserIds, UserGroups }: ModifyImageAttributeRequest): Change {
  if (OperationType === undefined) throw missing('OperationType')
  const permissions = flatPermissions(UserIds, UserGroups)
  if (permissions.length === 0) throw missing('UserId or UserGroup')
  checkCount(permissions.length)
  const grantees = readGrantees(permissions, errors, 'UserId or UserGroup')
  return OperationType === 'add' ? { add: grantees, remove: [] } : { add: [], remove: grantees }
}

function checkCount(count: number): void {
  if (count > limits.imageGrantees) throw tooManyGrantees(limits.imageGrantees)
}

const errors: GranteeErrors = {
  user: (value) => invalidItem(value, 'userId'),
  group: (value) => invalidItem(value, 'UserGroup'),
}

function invalidItem(value: string, type: string): KilnError {
  return new KilnError('InvalidAMIAttributeItemValue', `Invalid attribute item value "${value}" for ${type} item type.`)
}
