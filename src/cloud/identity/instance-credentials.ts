/**
 * What an instance gets of its profile: credentials of the profile's role. They are made of the association and the hour,
 * so that whoever asks gets the same, and new ones come long before the old ones end.
 * Source: "Retrieve security credentials from instance metadata" in the EC2 user guide.
 */
import type { Identity } from '../../state/identities.ts'
import type { InstanceProfileAssociation } from '../../state/instance-profile-associations.ts'
import type { IdentityDeps } from './identities.ts'
import { roleHolder, type SessionCredentials, type Sessions } from './sessions.ts'
import { isTrusted } from './trust.ts'

export interface InstanceRole {
  name: string
  /** Null when the role does not let instances have it. */
  credentials(): SessionCredentials | null
}

export interface InstanceIdentity {
  profileArn: string
  profileId: string
  /** When the credentials were last renewed. */
  updatedAt: number
  /** Null when the profile is gone, or has no role. */
  role: InstanceRole | null
}

const renewedEveryMs = 3600_000
const lifetimeMs = 6 * 3600_000
const service = 'ec2.amazonaws.com'

export class InstanceCredentials {
  readonly #deps: IdentityDeps
  readonly #sessions: Sessions

  constructor(deps: IdentityDeps, sessions: Sessions) {
    this.#deps = deps
    this.#sessions = sessions
  }

  async of(instanceId: string): Promise<InstanceIdentity | null> {
    const { state, clock } = this.#deps
    const [association] = await state.instanceProfileAssociations.of([instanceId])
    if (!association) return null
    const updatedAt = lastRenewal(association.createdAt, clock.now())
    const profile = await state.identities.get(association.profileId)
    const role = profile?.roleId ? await state.identities.get(profile.roleId) : undefined
    const { profileArn, profileId } = association
    return { profileArn, profileId, updatedAt, role: role ? this.#roleFor(association, role, updatedAt) : null }
  }

  #roleFor({ id, instanceId }: InstanceProfileAssociation, role: Identity, updatedAt: number): InstanceRole {
    const facts = { 'aws:currenttime': new Date(updatedAt).toISOString(), 'aws:sourceaccount': role.accountId }
    return {
      name: role.name,
      credentials: () =>
        isTrusted(role.trustPolicy!, { who: { service }, action: 'sts:AssumeRole', facts })
          ? this.#sessions.repeated(roleHolder(role, instanceId), updatedAt + lifetimeMs, `instance ${id}`)
          : null,
    }
  }
}

function lastRenewal(since: number, now: number): number {
  const start = Math.floor(since / 1000) * 1000
  return start + Math.max(0, Math.floor((now - start) / renewedEveryMs)) * renewedEveryMs
}
