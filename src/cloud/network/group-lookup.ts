/** Security groups as requests name them: by id, or by a name in the account's default VPC. */
import { KilnError } from '../../lib/errors.ts'
import type { SecurityGroup } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import { owned } from '../existing.ts'

export type GroupRef = { id: string } | { name: string }

/** The group, if the account has it in this region. Throws InvalidGroup.NotFound. */
export async function findGroup(state: Repositories, scope: Scope, ref: GroupRef): Promise<SecurityGroup> {
  if ('id' in ref) {
    return owned(await state.networks.securityGroup(ref.id), scope, () => groupNotFound(ref.id))
  }
  const vpc = await state.networks.defaultVpc(scope.accountId, scope.region)
  const row = vpc && (await state.networks.securityGroupByName(vpc.id, ref.name))
  if (row) return row
  throw vpc ? groupNotFoundIn(vpc.id, ref.name) : groupNotFound(ref.name)
}

export function groupNotFound(idOrName: string): KilnError {
  return new KilnError('InvalidGroup.NotFound', `The security group '${idOrName}' does not exist`)
}

export function groupNotFoundIn(vpcId: string, name: string): KilnError {
  return new KilnError('InvalidGroup.NotFound', `The security group '${name}' does not exist in default VPC '${vpcId}'`)
}

/** Changes of the groups of one VPC, and of their rules, are made one after the other under this name. */
export const groupsLock = (vpcId: string) => `security-groups:${vpcId}`
