import type {
  AuthorizeSecurityGroupIngressResult,
  RevokeSecurityGroupIngressResult,
  SecurityGroupRuleDescription,
  TagSpecification,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Direction } from '../../../cloud/network/security-group-rules.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import {
  givenPermission,
  missing,
  notTogether,
  type PermissionsInput,
  readGroupRef,
  readPermissions,
  readRuleRequest,
} from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2RevokedRule, ec2Rule } from '../shared/security-group-shapes.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'

type RuleCloud = Pick<Cloud, 'securityGroups' | 'tags'>
type Context = RequestContext<RuleCloud>

interface GroupInput {
  GroupId?: string | undefined
  GroupName?: string | undefined
}

export const securityGroupRuleHandlers = {
  AuthorizeSecurityGroupIngress: (input, context) => authorize(input, context, 'ingress'),
  AuthorizeSecurityGroupEgress: (input, context) => authorize(input, context, 'egress'),
  RevokeSecurityGroupIngress: (input, context) => revoke(input, context, 'ingress'),
  RevokeSecurityGroupEgress: (input, context) => revoke(input, context, 'egress'),
  UpdateSecurityGroupRuleDescriptionsIngress: (input, context) => describe(input, context, 'ingress'),
  UpdateSecurityGroupRuleDescriptionsEgress: (input, context) => describe(input, context, 'egress'),

  async DescribeSecurityGroupRules(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const ids = readIds('securityGroupRule', input.SecurityGroupRuleIds)
    const page = await cloud.securityGroups.rules.list(scope, {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeSecurityGroupRules', input, scope, {
        ids: { parameter: 'SecurityGroupRuleIds', given: ids },
      }),
    })
    const tags = await cloud.tags.of(
      scope,
      page.items.map((rule) => rule.id),
    )
    return {
      SecurityGroupRules: page.items.map((rule) => ec2Rule(rule, tags.get(rule.id))),
      NextToken: nextTokenOf('DescribeSecurityGroupRules', scope, page.next),
    }
  },

  async ModifySecurityGroupRules(input, context) {
    if (!input.SecurityGroupRules?.length) throw missing('SecurityGroupRule')
    const updates = input.SecurityGroupRules.map(({ SecurityGroupRuleId: id, SecurityGroupRule: rule }, index) => ({
      ruleId: readId('securityGroupRule', id!),
      permission: readRuleRequest(rule, `SecurityGroupRule.${index + 1}.SecurityGroupRule`),
    }))
    await context.cloud.securityGroups.rules.modify(scopeOf(context), readGroupRef(input), updates)
    return { Return: true }
  },
} satisfies Ec2Handlers<RuleCloud>

async function authorize(
  input: GroupInput & PermissionsInput & { TagSpecifications?: TagSpecification[] | undefined },
  context: Context,
  direction: Direction,
): Promise<AuthorizeSecurityGroupIngressResult> {
  const { 'security-group-rule': tags } = readTagSpecifications(input.TagSpecifications, ['security-group-rule'])
  const permissions = readPermissions(input)
  const { rules } = context.cloud.securityGroups
  const added = await rules.authorize(scopeOf(context), readGroupRef(input), { direction, permissions, tags })
  return { Return: true, SecurityGroupRules: added.map((rule) => ec2Rule(rule, tags)) }
}

async function revoke(
  input: GroupInput & PermissionsInput & { SecurityGroupRuleIds?: string[] | undefined },
  context: Context,
  direction: Direction,
): Promise<RevokeSecurityGroupIngressResult> {
  const ruleIds = readIds('securityGroupRule', input.SecurityGroupRuleIds)
  const permission = ruleIds && givenPermission(input)
  if (permission) throw notTogether('SecurityGroupRuleId', permission)
  const revoked = await context.cloud.securityGroups.rules.revoke(
    scopeOf(context),
    readGroupRef(input),
    ruleIds ? { direction, ruleIds } : { direction, permissions: readPermissions(input) },
  )
  return { Return: true, RevokedSecurityGroupRules: revoked.map(ec2RevokedRule) }
}

async function describe(
  input: GroupInput & PermissionsInput & { SecurityGroupRuleDescriptions?: SecurityGroupRuleDescription[] | undefined },
  context: Context,
  direction: Direction,
): Promise<{ Return: true }> {
  const { IpPermissions: permissions, SecurityGroupRuleDescriptions: given } = input
  if (permissions?.length && given?.length) throw notTogether('SecurityGroupRuleDescription', 'IpPermissions')
  if (!permissions?.length && !given?.length) throw missing('IpPermissions or SecurityGroupRuleDescription')
  await context.cloud.securityGroups.rules.describe(
    scopeOf(context),
    readGroupRef(input),
    given?.length
      ? { direction, descriptions: given.map(readDescription) }
      : { direction, permissions: readPermissions(input) },
  )
  return { Return: true }
}

function readDescription(
  { SecurityGroupRuleId: id, Description: description }: SecurityGroupRuleDescription,
  index: number,
): { ruleId: string; description: string | undefined } {
  if (!id) throw missing(`SecurityGroupRuleDescription.${index + 1}.SecurityGroupRuleId`)
  return { ruleId: readId('securityGroupRule', id), description }
}
