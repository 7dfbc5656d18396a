/** Source: "Ensuring idempotency in Amazon EC2 API requests" in the EC2 API reference. */
import { KilnError } from '../lib/errors.ts'
import type { Repositories } from '../state/state.ts'
import type { ClientToken, CloudDeps, Scope } from './deps.ts'

type Action =
  | 'RunInstances'
  | 'CopyImage'
  | 'CopySnapshot'
  | 'CreateVolume'
  | 'StartSnapshot'
  | 'CreateReplaceRootVolumeTask'
  | 'CopyVolumes'
  | 'ImportImage'
  | 'ImportSnapshot'
  | 'ExportImage'
  | 'CreateLaunchTemplate'
  | 'CreateLaunchTemplateVersion'
  | 'CreateNetworkAcl'
  | 'CreateManagedPrefixList'
  | 'CreateVpcEndpoint'
  | 'CreateNetworkInterface'
  | 'CreateNatGateway'
  | 'RequestSpotInstances'
  | 'CreateFleet'

/**
 * The ids that a request with this token was answered with before; undefined for a new token, or none. To be asked before
 * anything else is checked: an answer stands, whatever has become of what the request names.
 * Throws IdempotentParameterMismatch when the parameters differ.
 */
export async function answeredBefore(
  state: Repositories,
  scope: Scope,
  action: Action,
  clientToken: ClientToken | undefined,
): Promise<string[] | undefined> {
  if (!clientToken) return undefined
  const used = await state.clientTokens.find({ ...scope, action, token: clientToken.token })
  if (!used) return undefined
  if (used.paramsHash === clientToken.paramsHash) return used.resourceIds.split(',')
  throw new KilnError(
    'IdempotentParameterMismatch',
    `The client token '${clientToken.token}' was used before with other parameters`,
  )
}

/**
 * Runs `create` in one transaction, unless the token was used before: then nothing is made, and the ids of the first
 * answer come back. Throws IdempotentParameterMismatch when the parameters differ.
 */
export async function createOnce(
  deps: CloudDeps,
  scope: Scope,
  action: Action,
  clientToken: ClientToken | undefined,
  create: (tx: Repositories) => Promise<string[]>,
): Promise<string[]> {
  if (!clientToken) return deps.state.transaction(create)
  const key = { ...scope, action, token: clientToken.token }
  // Two requests with one token at once: the second waits here, then finds what the first has stored.
  return deps.locks.hold(`token:${scope.accountId}:${scope.region}:${action}:${clientToken.token}`, () =>
    deps.state.transaction(async (tx) => {
      const before = await answeredBefore(tx, scope, action, clientToken)
      if (before) return before
      const ids = await create(tx)
      const { paramsHash } = clientToken
      const row = { ...key, paramsHash, resourceIds: ids.join(','), createdAt: deps.clock.now() }
      if (await tx.clientTokens.insert(row)) return ids
      throw new KilnError('IdempotentParameterMismatch', `The client token '${clientToken.token}' is in use right now`)
    }),
  )
}
