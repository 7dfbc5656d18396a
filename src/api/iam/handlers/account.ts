/** The account itself: its alias, and how much of everything it has. */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { shortPage, userNameOf } from '../inputs.ts'

export const accountHandlers = {
  async CreateAccountAlias(input, { accountId, cloud }) {
    await cloud.identity.setAlias(accountId, input.AccountAlias!)
    return {}
  },

  async DeleteAccountAlias(input, { accountId, cloud }) {
    await cloud.identity.removeAlias(accountId, input.AccountAlias!)
    return {}
  },

  async ListAccountAliases(input, context) {
    const alias = await context.cloud.identity.alias(context.accountId)
    const { items, answer } = shortPage(alias === undefined ? [] : [alias], input, context)
    return { AccountAliases: items, ...answer }
  },

  async GetAccountSummary(_, { accountId, cloud }) {
    const count = await cloud.identity.all.counts(accountId)
    return {
      SummaryMap: {
        Users: count.user,
        UsersQuota: limits.users,
        Groups: count.group,
        GroupsQuota: limits.groups,
        Roles: count.role,
        RolesQuota: limits.roles,
        InstanceProfiles: count['instance-profile'],
        InstanceProfilesQuota: limits.instanceProfiles,
        Policies: count.policy,
        PoliciesQuota: limits.policies,
        GroupsPerUserQuota: limits.groupsPerUser,
        AccessKeysPerUserQuota: limits.accessKeysPerUser,
        SigningCertificatesPerUserQuota: limits.signingCertificatesPerAccount,
        AttachedPoliciesPerUserQuota: limits.attachedPolicies,
        AttachedPoliciesPerGroupQuota: limits.attachedPolicies,
        AttachedPoliciesPerRoleQuota: limits.attachedPolicies,
        VersionsPerPolicyQuota: limits.versionsPerPolicy,
        PolicySizeQuota: limits.managedPolicyLength,
        AssumeRolePolicySizeQuota: limits.trustPolicyLength,
        UserPolicySizeQuota: limits.inlinePolicyLength.user,
        GroupPolicySizeQuota: limits.inlinePolicyLength.group,
        // There are no passwords, certificates of servers or devices to sign in with.
        ...{ MFADevices: 0, MFADevicesInUse: 0, AccountMFAEnabled: 0, ServerCertificates: 0, Providers: 0 },
      },
    }
  },

  // What nobody can have here: true of every user that there is.
  async ListMFADevices(input, context) {
    return { MFADevices: await nothingOf(input.UserName, context), IsTruncated: false }
  },

  async ListVirtualMFADevices() {
    return { VirtualMFADevices: [], IsTruncated: false }
  },

  async GetLoginProfile(input, context) {
    throw await noPassword(input.UserName, context)
  },

  async DeleteLoginProfile(input, context) {
    throw await noPassword(input.UserName, context)
  },

  async ListSSHPublicKeys(input, context) {
    return { SSHPublicKeys: await nothingOf(input.UserName, context), IsTruncated: false }
  },

  async ListServiceSpecificCredentials(input, context) {
    return { ServiceSpecificCredentials: await nothingOf(input.UserName, context) }
  },
} satisfies IamHandlers

/** Throws NoSuchEntity for a user that is not there. */
async function nothingOf(name: string | undefined, { accountId, cloud }: IamContext): Promise<[]> {
  if (name !== undefined) await cloud.identity.all.get(accountId, 'user', name)
  return []
}

/** What to throw; throws NoSuchEntity itself for a user that is not there. */
async function noPassword(name: string | undefined, context: IamContext): Promise<KilnError> {
  const { accountId, cloud } = context
  const user = await cloud.identity.all.get(accountId, 'user', userNameOf(name, context))
  return new KilnError('NoSuchEntity', `Login Profile for User ${user.name} cannot be found.`)
}
