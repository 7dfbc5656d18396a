/** What an account has set about encryption in a region. */
import type { Cloud } from '../../../cloud/cloud.ts'
import { arnOf, managedAlias } from '../../../cloud/encryption/named-keys.ts'
import type { Ec2Handlers } from '../handler.ts'
import { scopeOf } from '../shared/scope.ts'

type Key = Parameters<typeof arnOf>[0] & { isManaged: number }

export const ebsEncryptionHandlers = {
  async EnableEbsEncryptionByDefault(_, context) {
    await context.cloud.ebsDefaults.setEncryptsByDefault(scopeOf(context), true)
    return { EbsEncryptionByDefault: true }
  },

  async DisableEbsEncryptionByDefault(_, context) {
    await context.cloud.ebsDefaults.setEncryptsByDefault(scopeOf(context), false)
    return { EbsEncryptionByDefault: false }
  },

  async GetEbsEncryptionByDefault(_, context) {
    return { EbsEncryptionByDefault: await context.cloud.ebsDefaults.encryptsByDefault(scopeOf(context)) }
  },

  async GetEbsDefaultKmsKeyId(_, context) {
    return { KmsKeyId: shown(await context.cloud.ebsDefaults.key(scopeOf(context))) }
  },

  async ModifyEbsDefaultKmsKeyId(input, context) {
    return { KmsKeyId: shown(await context.cloud.ebsDefaults.setKey(scopeOf(context), input.KmsKeyId!)) }
  },

  async ResetEbsDefaultKmsKeyId(_, context) {
    return { KmsKeyId: shown(await context.cloud.ebsDefaults.resetKey(scopeOf(context))) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'ebsDefaults'>>

/** EC2 tells the managed key by its alias: the examples of GetEbsDefaultKmsKeyId in the AWS CLI reference. */
const shown = (key: Key) => (key.isManaged ? managedAlias : arnOf(key))
