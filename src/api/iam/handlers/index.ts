/** The IAM operations that Kiln serves, composed of one object a family. */
import type { IamHandlers } from '../handler.ts'
import { accessKeyHandlers } from './access-keys.ts'
import { accountHandlers } from './account.ts'
import { groupHandlers } from './groups.ts'
import { identityPolicyHandlers } from './identity-policies.ts'
import { instanceProfileHandlers } from './instance-profiles.ts'
import { managedPolicyHandlers } from './managed-policies.ts'
import { roleHandlers } from './roles.ts'
import { signingCertificateHandlers } from './signing-certificates.ts'
import { userHandlers } from './users.ts'

export const iamHandlers: IamHandlers = {
  ...accessKeyHandlers,
  ...accountHandlers,
  ...groupHandlers,
  ...identityPolicyHandlers,
  ...instanceProfileHandlers,
  ...managedPolicyHandlers,
  ...roleHandlers,
  ...signingCertificateHandlers,
  ...userHandlers,
}
