/** Policies within users, groups and roles, and managed ones that are attached: the same of all three. */
import type { PolicyHolder } from '../../../cloud/identity/identity-policies.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { encodedPolicy, type PagedInput, readPathPrefix, shortPage } from '../inputs.ts'
import { readArn } from './managed-policies.ts'

type Holder = (input: Named, context: IamContext) => PolicyHolder
interface Named {
  UserName?: string | undefined
  GroupName?: string | undefined
  RoleName?: string | undefined
}

const user: Holder = ({ UserName: name }, { accountId }) => ({ accountId, kind: 'user', name: name! })
const group: Holder = ({ GroupName: name }, { accountId }) => ({ accountId, kind: 'group', name: name! })
const role: Holder = ({ RoleName: name }, { accountId }) => ({ accountId, kind: 'role', name: name! })

interface PolicyText {
  PolicyName: string | undefined
  PolicyDocument: string | undefined
}

const put = (holder: Holder) => async (input: Named & PolicyText, context: IamContext) => {
  await context.cloud.identity.policies.put(holder(input, context), input.PolicyName!, input.PolicyDocument!)
  return {}
}

async function read(holder: PolicyHolder, name: string | undefined, { cloud }: IamContext) {
  const policy = await cloud.identity.policies.get(holder, name!)
  return { PolicyName: policy.name, PolicyDocument: encodedPolicy(policy.document) }
}

const remove = (holder: Holder) => async (input: Named & Pick<PolicyText, 'PolicyName'>, context: IamContext) => {
  await context.cloud.identity.policies.remove(holder(input, context), input.PolicyName!)
  return {}
}

const list = (holder: Holder) => async (input: Named & PagedInput, context: IamContext) => {
  const policies = await context.cloud.identity.policies.list(holder(input, context))
  const { items, answer } = shortPage(policies, input, context)
  return { PolicyNames: items.map(({ name }) => name), ...answer }
}

const attach = (holder: Holder) => async (input: Named & { PolicyArn: string | undefined }, context: IamContext) => {
  await context.cloud.identity.policies.attach(holder(input, context), readArn(input.PolicyArn))
  return {}
}

const detach = (holder: Holder) => async (input: Named & { PolicyArn: string | undefined }, context: IamContext) => {
  await context.cloud.identity.policies.detach(holder(input, context), readArn(input.PolicyArn))
  return {}
}

const attached =
  (holder: Holder) => async (input: Named & PagedInput & { PathPrefix?: string | undefined }, context: IamContext) => {
    const prefix = readPathPrefix(input.PathPrefix) ?? '/'
    const arns = await context.cloud.identity.policies.attached(holder(input, context))
    const policies = arns.map((arn) => ({ PolicyName: arn.slice(arn.lastIndexOf('/') + 1), PolicyArn: arn }))
    const wanted = policies.filter(({ PolicyArn: arn }) => arn.slice(arn.indexOf('/')).startsWith(prefix))
    const { items, answer } = shortPage(wanted, input, context)
    return { AttachedPolicies: items, ...answer }
  }

export const identityPolicyHandlers = {
  PutUserPolicy: put(user),
  PutGroupPolicy: put(group),
  PutRolePolicy: put(role),
  DeleteUserPolicy: remove(user),
  DeleteGroupPolicy: remove(group),
  DeleteRolePolicy: remove(role),
  ListUserPolicies: list(user),
  ListGroupPolicies: list(group),
  ListRolePolicies: list(role),
  AttachUserPolicy: attach(user),
  AttachGroupPolicy: attach(group),
  AttachRolePolicy: attach(role),
  DetachUserPolicy: detach(user),
  DetachGroupPolicy: detach(group),
  DetachRolePolicy: detach(role),
  ListAttachedUserPolicies: attached(user),
  ListAttachedGroupPolicies: attached(group),
  ListAttachedRolePolicies: attached(role),

  async GetUserPolicy(input, context) {
    return { UserName: input.UserName, ...(await read(user(input, context), input.PolicyName, context)) }
  },

  async GetGroupPolicy(input, context) {
    return { GroupName: input.GroupName, ...(await read(group(input, context), input.PolicyName, context)) }
  },

  async GetRolePolicy(input, context) {
    return { RoleName: input.RoleName, ...(await read(role(input, context), input.PolicyName, context)) }
  },
} satisfies IamHandlers
