/** Who may have credentials for a while, and for how long. Source: AssumeRole and its siblings in the STS API reference. */
import { KilnError } from '../../lib/errors.ts'
import type { Identity } from '../../state/identities.ts'
import type { Caller } from './callers.ts'
import type { IdentityDeps } from './identities.ts'
import { arnOf } from './names.ts'
import { roleHolder, type SessionCredentials, type SessionHolder, type Sessions } from './sessions.ts'
import { isTrusted } from './trust.ts'

export interface AssumeRequest {
  roleArn: string
  sessionName: string
  seconds: number | undefined
  externalId: string | undefined
  sourceIdentity: string | undefined
  /** Whether tags go with the session: a trust policy must allow that too. */
  hasTags: boolean
}

const arnShape = /^arn:aws:iam::(\d{12}):role(\/(?:.*\/)?)([\w+=,.@-]{1,64})$/
const defaultSeconds = 3600
const chainedSecondsMax = 3600
const accountSecondsMax = 3600
const longDefaultSeconds = 43_200

export class RoleSessions {
  readonly #deps: IdentityDeps
  readonly #sessions: Sessions

  constructor(deps: IdentityDeps, sessions: Sessions) {
    this.#deps = deps
    this.#sessions = sessions
  }

  /** Throws AccessDenied when the role is not there or does not trust the caller, and ValidationError. */
  async assume(caller: Caller, request: AssumeRequest): Promise<{ credentials: SessionCredentials; role: Identity }> {
    const role = await this.#roleAt(request.roleArn)
    if (!role || !this.#isTrusted(role, caller, request)) {
      throw new KilnError(
        'AccessDenied',
        `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${request.roleArn}`,
      )
    }
    const seconds = request.seconds ?? Math.min(defaultSeconds, role.maxSessionSeconds!)
    if (seconds > role.maxSessionSeconds!) {
      throw new KilnError(
        'ValidationError',
        'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.',
      )
    }
    if (caller.kind === 'role' && seconds > chainedSecondsMax) {
      throw new KilnError(
        'ValidationError',
        'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining',
      )
    }
    return { credentials: this.#sessions.issue(roleHolder(role, request.sessionName), seconds), role }
  }

  /** Of whoever asks; those of an account itself end after an hour. Throws AccessDenied for a session. */
  sessionToken(caller: Caller, seconds: number | undefined): SessionCredentials {
    return this.#issue(caller, 'GetSessionToken', { kind: caller.kind, name: null }, seconds)
  }

  federationToken(caller: Caller, name: string, seconds: number | undefined): SessionCredentials {
    return this.#issue(caller, 'GetFederationToken', { kind: 'federated', name }, seconds)
  }

  #issue(
    caller: Caller,
    action: string,
    holder: Pick<SessionHolder, 'kind' | 'name'>,
    asked: number | undefined,
  ): SessionCredentials {
    if (caller.isTemporary) throw new KilnError('AccessDenied', `Cannot call ${action} with session credentials`)
    const { accountId, identity } = caller
    const wanted = asked ?? longDefaultSeconds
    const seconds = identity ? wanted : Math.min(wanted, accountSecondsMax)
    return this.#sessions.issue({ accountId, identityId: identity?.id ?? null, ...holder }, seconds)
  }

  #isTrusted(role: Identity, caller: Caller, request: AssumeRequest): boolean {
    const facts = this.#factsOf(caller, request)
    const actions = [
      'sts:AssumeRole',
      ...(request.hasTags ? ['sts:TagSession'] : []),
      ...(request.sourceIdentity === undefined ? [] : ['sts:SetSourceIdentity']),
    ]
    return actions.every((action) => isTrusted(role.trustPolicy!, { who: { caller }, action, facts }))
  }

  #factsOf(caller: Caller, request: AssumeRequest): Record<string, string | undefined> {
    const { identity, kind } = caller
    return {
      'aws:currenttime': new Date(this.#deps.clock.now()).toISOString(),
      'aws:principalaccount': caller.accountId,
      'aws:principalarn': identity && kind !== 'federated' ? arnOf(identity) : caller.arn,
      'aws:principaltype': principalTypes[kind],
      'aws:userid': caller.userId,
      'aws:username': kind === 'user' ? identity!.name : undefined,
      'aws:multifactorauthpresent': caller.isTemporary ? 'false' : undefined,
      'aws:securetransport': 'false',
      'sts:externalid': request.externalId,
      'sts:rolesessionname': request.sessionName,
      'sts:sourceidentity': request.sourceIdentity,
    }
  }

  async #roleAt(arn: string): Promise<Identity | undefined> {
    const [, accountId, , name] = arnShape.exec(arn) ?? []
    if (accountId === undefined) throw new KilnError('ValidationError', `${arn.slice(0, 256)} is invalid`)
    const role = await this.#deps.state.identities.named(accountId, 'role', name!)
    return role && arnOf(role) === arn ? role : undefined
  }
}

const principalTypes: Readonly<Record<Caller['kind'], string>> = {
  account: 'Account',
  user: 'User',
  role: 'AssumedRole',
  federated: 'FederatedUser',
}
