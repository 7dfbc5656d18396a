/** STS: who somebody is, and credentials for a while. Source: the STS API reference. */
import type { Credentials } from '@aws-sdk/client-sts'
import type { Cloud } from '../../cloud/cloud.ts'
import type { Caller } from '../../cloud/identity/callers.ts'
import { accountOfKeyId } from '../../cloud/identity/key-ids.ts'
import { checkPolicy } from '../../cloud/identity/policy-documents.ts'
import type { SessionCredentials } from '../../cloud/identity/sessions.ts'
import { KilnError } from '../../lib/errors.ts'
import { refuseGiven } from '../ec2/shared/unsupported.ts'
import { iamTime, invalid, readTags } from '../iam/inputs.ts'
import type { StsOperations } from './model/operations.generated.ts'

export interface StsContext {
  caller: Caller
  cloud: Pick<Cloud, 'identity'>
}

type OperationName = keyof StsOperations

export type StsHandlers = {
  readonly [Name in OperationName]?: (
    input: StsOperations[Name]['input'],
    context: StsContext,
  ) => Promise<StsOperations[Name]['output']>
}

const nameCharacters = '[\\w+=,.@-]'
const sessionNameShape = new RegExp(`^${nameCharacters}{2,64}$`)
const federatedNameShape = new RegExp(`^${nameCharacters}{2,32}$`)
const externalIdShape = /^[\w+=,.@:/-]{2,1224}$/
/** Characters of the policies of a session. */
const sessionPolicyLength = 2048

export const stsHandlers: StsHandlers = {
  async GetCallerIdentity(_, { caller }) {
    return { Arn: caller.arn, UserId: caller.userId, Account: caller.accountId }
  },

  async AssumeRole(input, { caller, cloud }) {
    const { RoleSessionName: sessionName, ExternalId: externalId, SourceIdentity: sourceIdentity } = input
    refuseGiven({
      SerialNumber: input.SerialNumber,
      TokenCode: input.TokenCode,
      ProvidedContexts: input.ProvidedContexts,
    })
    checkShape('roleSessionName', sessionName, sessionNameShape)
    if (externalId !== undefined) checkShape('externalId', externalId, externalIdShape)
    if (sourceIdentity !== undefined) checkShape('sourceIdentity', sourceIdentity, sessionNameShape)
    checkSessionPolicy(input.Policy)
    const { role, credentials } = await cloud.identity.roleSessions.assume(caller, {
      ...{ roleArn: input.RoleArn!, sessionName: sessionName!, externalId, sourceIdentity },
      seconds: checkSeconds(input.DurationSeconds, 43_200),
      hasTags: readTags(input.Tags).length > 0,
    })
    const arn = `arn:aws:sts::${role.accountId}:assumed-role/${role.name}/${sessionName}`
    return {
      Credentials: stsCredentials(credentials),
      AssumedRoleUser: { Arn: arn, AssumedRoleId: `${role.id}:${sessionName}` },
      SourceIdentity: sourceIdentity,
    }
  },

  async GetSessionToken(input, { caller, cloud }) {
    refuseGiven({ SerialNumber: input.SerialNumber, TokenCode: input.TokenCode })
    const seconds = checkSeconds(input.DurationSeconds, 129_600)
    return { Credentials: stsCredentials(cloud.identity.roleSessions.sessionToken(caller, seconds)) }
  },

  async GetFederationToken(input, { caller, cloud }) {
    const { Name: name } = input
    checkShape('name', name, federatedNameShape)
    checkSessionPolicy(input.Policy)
    readTags(input.Tags)
    const seconds = checkSeconds(input.DurationSeconds, 129_600)
    const { accountId } = caller
    return {
      Credentials: stsCredentials(cloud.identity.roleSessions.federationToken(caller, name!, seconds)),
      FederatedUser: {
        FederatedUserId: `${accountId}:${name}`,
        Arn: `arn:aws:sts::${accountId}:federated-user/${name}`,
      },
    }
  },

  /** The id itself tells it, whether Kiln has issued it or AWS. */
  async GetAccessKeyInfo(input) {
    const id = input.AccessKeyId!
    if (/^\d{12}$/.test(id)) return { Account: id }
    const account = accountOfKeyId(id)
    if (account !== undefined) return { Account: account }
    throw invalid('accessKeyId', id, 'the id of an access key that tells its account')
  },
}

/** Policies of sessions are checked, and like all policies not enforced. */
function checkSessionPolicy(policy: string | undefined): void {
  if (policy === undefined) return
  checkPolicy(policy, { kind: 'identity', maxLength: sessionPolicyLength, quotaName: 'PackedPolicySize' })
}

function checkSeconds(seconds: number | undefined, most: number): number | undefined {
  if (seconds === undefined || (seconds >= 900 && seconds <= most)) return seconds
  throw new KilnError(
    'ValidationError',
    `1 validation error detected: Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value ${
      seconds < 900 ? 'greater than or equal to 900' : `less than or equal to ${most}`
    }`,
  )
}

function checkShape(member: string, value: string | undefined, shape: RegExp): void {
  if (!shape.test(value ?? '')) throw invalid(member, value ?? '', `of the form ${shape.source}`)
}

const stsCredentials = ({ accessKeyId, secret, token, expiresAt }: SessionCredentials): Credentials => ({
  ...{ AccessKeyId: accessKeyId, SecretAccessKey: secret, SessionToken: token, Expiration: iamTime(expiresAt) },
})
