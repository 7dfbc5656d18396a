import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { readGroupRef } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2SecurityGroup, securityGroupArn } from '../shared/security-group-shapes.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { ec2Tags } from '../shared/views.ts'

export const securityGroupHandlers = {
  async CreateSecurityGroup(input, context) {
    const { 'security-group': tags } = readTagSpecifications(input.TagSpecifications, ['security-group'])
    const group = await context.cloud.securityGroups.create(scopeOf(context), {
      name: input.GroupName!,
      description: input.Description!,
      // Packer's way of saying that none is named.
      vpcId: input.VpcId ? readId('vpc', input.VpcId) : undefined,
      tags,
    })
    return { GroupId: group.id, SecurityGroupArn: securityGroupArn(group), Tags: ec2Tags(tags) }
  },

  async DescribeSecurityGroups(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const ids = readIds('securityGroup', input.GroupIds)
    const page = await cloud.securityGroups.list(scope, {
      ids,
      names: input.GroupNames?.length ? input.GroupNames : undefined,
      filters: readFilters(input.Filters),
      page: readPage('DescribeSecurityGroups', input, scope, { ids: { parameter: 'GroupIds', given: ids } }),
    })
    const tags = await cloud.tags.of(
      scope,
      page.items.map((group) => group.id),
    )
    return {
      SecurityGroups: page.items.map((group) => ec2SecurityGroup(group, tags.get(group.id))),
      NextToken: nextTokenOf('DescribeSecurityGroups', scope, page.next),
    }
  },

  async DeleteSecurityGroup(input, context) {
    const group = await context.cloud.securityGroups.delete(scopeOf(context), readGroupRef(input))
    return { Return: true, GroupId: group.id }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'securityGroups' | 'tags'>>
