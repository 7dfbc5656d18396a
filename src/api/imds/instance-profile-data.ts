/**
 * What an instance is told of its profile, and the credentials of the profile's role. Sources: "IAM roles for Amazon EC2"
 * in the EC2 user guide, "Troubleshoot IAM and Amazon EC2" in the IAM user guide.
 */
import { spacedJson, wholeSeconds } from './identity-document.ts'
import type { ImdsIdentity } from './instance.ts'
import { directory, type MetadataDirectory } from './metadata-nodes.ts'

const help =
  'Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.'

export function profileData(profile: ImdsIdentity): MetadataDirectory {
  const { role } = profile
  return directory({
    info: profileInfo(profile),
    'security-credentials': role && directory({ [role.name]: async () => roleCredentials(profile, role) }),
  })
}

function profileInfo({ profileArn, profileId, updatedAt, role }: ImdsIdentity): string {
  const facts: Record<string, string> = role
    ? { Code: 'Success' }
    : { Code: 'InstanceProfileNotFound', Message: `Instance Profile with arn ${profileArn} has no role. ${help}` }
  const profile = { InstanceProfileArn: profileArn, InstanceProfileId: profileId }
  return spacedJson({ ...facts, LastUpdated: wholeSeconds(updatedAt), ...profile })
}

function roleCredentials({ updatedAt }: ImdsIdentity, role: NonNullable<ImdsIdentity['role']>): string {
  const LastUpdated = wholeSeconds(updatedAt)
  const given = role.credentials()
  if (!given) {
    const Message = `EC2 cannot assume the role ${role.name}. ${help}`
    return spacedJson({ Code: 'AssumeRoleUnauthorizedAccess', Message, LastUpdated })
  }
  return spacedJson({
    ...{ Code: 'Success', LastUpdated, Type: 'AWS-HMAC', AccessKeyId: given.accessKeyId },
    ...{ SecretAccessKey: given.secret, Token: given.token, Expiration: wholeSeconds(given.expiresAt) },
  })
}
