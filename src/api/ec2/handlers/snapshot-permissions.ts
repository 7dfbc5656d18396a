/** Who else may use a snapshot. */
import type { ModifySnapshotAttributeRequest } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { PermissionChange } from '../../../cloud/snapshots/snapshot-permissions.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import {
  checkRepetition,
  ec2Permissions,
  flatPermissions,
  type GranteeErrors,
  readGrantees,
  tooManyGrantees,
} from '../shared/grantees.ts'
import { readId } from '../shared/ids.ts'
import { missing, notTogether } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'

export const snapshotPermissionHandlers = {
  async ModifySnapshotAttribute(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    await context.cloud.snapshotPermissions.change(scopeOf(context), id, readChange(input))
    return {}
  },

  async DescribeSnapshotAttribute(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    const grantees = await context.cloud.snapshotPermissions.list(scopeOf(context), id)
    if (input.Attribute === 'productCodes') return { SnapshotId: id, ProductCodes: [] }
    return { SnapshotId: id, CreateVolumePermissions: ec2Permissions(grantees) }
  },

  async ResetSnapshotAttribute(input, context) {
    if (input.Attribute !== 'createVolumePermission') throw notModifiable(input.Attribute!)
    await context.cloud.snapshotPermissions.reset(scopeOf(context), readId('snapshot', input.SnapshotId!))
    return {}
  },
} satisfies Ec2Handlers<Pick<Cloud, 'snapshotPermissions'>>

/** One operation, in the newer form or the older flat one; EC2 does not add and remove in the same request. */
function readChange(input: ModifySnapshotAttributeRequest): PermissionChange {
  const { Attribute, CreateVolumePermission: changes, OperationType, UserIds, GroupNames } = input
  if (Attribute !== undefined && Attribute !== 'createVolumePermission') throw notModifiable(Attribute)
  const flat = flatPermissions(UserIds, GroupNames)
  if (changes) {
    if (changes.Add?.length && changes.Remove?.length) {
      throw notTogether('CreateVolumePermission.Add', 'CreateVolumePermission.Remove')
    }
    const operation = changes.Remove?.length ? 'remove' : 'add'
    const [list, name] = operation === 'add' ? [changes.Add, 'Add'] : [changes.Remove, 'Remove']
    checkRepetition({ operation: OperationType, flat }, list ?? [], 'CreateVolumePermission')
    return { operation, grantees: readList(list, `CreateVolumePermission.${name}`) }
  }
  if (OperationType === undefined) throw missing(flat.length === 0 ? 'CreateVolumePermission' : 'OperationType')
  return { operation: OperationType, grantees: readList(flat, 'UserId or UserGroup') }
}

function readList(permissions: Parameters<typeof readGrantees>[0], parameter: string): string[] {
  if (!permissions?.length) throw missing(parameter)
  if (permissions.length > limits.snapshotGrantees) throw tooManyGrantees(limits.snapshotGrantees)
  return readGrantees(permissions, errors, parameter)
}

const errors: GranteeErrors = {
  user: (value) => new KilnError('InvalidUserID.Malformed', `Invalid user id: "${value}"`),
  group: (value) =>
    new KilnError('InvalidParameterValue', `Value (${value}) for parameter UserGroup is invalid. Expected: 'all'.`),
}

const notModifiable = (attribute: string) =>
  new KilnError(
    'InvalidParameterValue',
    `Value (${attribute}) for parameter Attribute is invalid. Only createVolumePermission can be modified.`,
  )
