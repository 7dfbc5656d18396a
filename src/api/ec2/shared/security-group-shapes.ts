/** Security groups and their rules as EC2 tells them. */
import type {
  SecurityGroup as Ec2SecurityGroup,
  SecurityGroupRule as Ec2SecurityGroupRule,
  IpPermission,
  RevokedSecurityGroupRule,
} from '@aws-sdk/client-ec2'
import type { RuleView } from '../../../cloud/network/security-group-rules.ts'
import type { SecurityGroupView } from '../../../cloud/network/security-groups.ts'
import type { Tag } from './tag-specifications.ts'
import { ec2Tags } from './views.ts'

type Rule = SecurityGroupView['rules'][number]

export function securityGroupArn({ id, accountId, region }: { id: string; accountId: string; region: string }): string {
  return `arn:aws:ec2:${region}:${accountId}:security-group/${id}`
}

export function ec2SecurityGroup(group: SecurityGroupView, tags: readonly Tag[] | undefined): Ec2SecurityGroup {
  return {
    GroupId: group.id,
    GroupName: group.name,
    Description: group.description,
    OwnerId: group.accountId,
    VpcId: group.vpcId,
    SecurityGroupArn: securityGroupArn(group),
    IpPermissions: ec2Permissions(group.rules.filter((rule) => rule.isEgress === 0)),
    IpPermissionsEgress: ec2Permissions(group.rules.filter((rule) => rule.isEgress === 1)),
    Tags: ec2Tags(tags),
  }
}

/** Rules for the same traffic stand together in one permission. */
function ec2Permissions(rules: readonly Rule[]): IpPermission[] {
  const permissions = new Map<string, Required<Omit<IpPermission, 'FromPort' | 'ToPort'>>>()
  for (const rule of rules) {
    const key = `${rule.protocol} ${rule.fromPort} ${rule.toPort}`
    const permission = permissions.get(key) ?? {
      IpProtocol: rule.protocol,
      ...(hasPorts(rule) ? { FromPort: rule.fromPort, ToPort: rule.toPort } : {}),
      IpRanges: [],
      Ipv6Ranges: [],
      PrefixListIds: [],
      UserIdGroupPairs: [],
    }
    const description = rule.description ? { Description: rule.description } : {}
    if (rule.cidrIpv4) permission.IpRanges.push({ CidrIp: rule.cidrIpv4, ...description })
    if (rule.cidrIpv6) permission.Ipv6Ranges.push({ CidrIpv6: rule.cidrIpv6, ...description })
    if (rule.referencedGroupId) {
      permission.UserIdGroupPairs.push({ GroupId: rule.referencedGroupId, UserId: rule.accountId, ...description })
    }
    if (rule.prefixListId) permission.PrefixListIds.push({ PrefixListId: rule.prefixListId, ...description })
    permissions.set(key, permission)
  }
  return [...permissions.values()]
}

/** Only these protocols have ports, or types and codes: EC2 leaves the members out for all others. */
const hasPorts = ({ protocol }: Rule) => ['tcp', 'udp', 'icmp', 'icmpv6'].includes(protocol)

export function ec2Rule(rule: RuleView, tags: readonly Tag[] | undefined): Ec2SecurityGroupRule {
  return {
    ...ec2RuleTerms(rule),
    GroupOwnerId: rule.accountId,
    ReferencedGroupInfo: rule.referencedGroupId
      ? { GroupId: rule.referencedGroupId, UserId: rule.accountId, VpcId: rule.vpcId }
      : undefined,
    SecurityGroupRuleArn: `arn:aws:ec2:${rule.region}:${rule.accountId}:security-group-rule/${rule.id}`,
    Tags: ec2Tags(tags),
  }
}

export function ec2RevokedRule(rule: Rule): RevokedSecurityGroupRule {
  return { ...ec2RuleTerms(rule), ReferencedGroupId: rule.referencedGroupId ?? undefined }
}

function ec2RuleTerms(rule: Rule) {
  return {
    SecurityGroupRuleId: rule.id,
    GroupId: rule.groupId,
    IsEgress: rule.isEgress === 1,
    IpProtocol: rule.protocol,
    FromPort: rule.fromPort,
    ToPort: rule.toPort,
    CidrIpv4: rule.cidrIpv4 ?? undefined,
    CidrIpv6: rule.cidrIpv6 ?? undefined,
    PrefixListId: rule.prefixListId ?? undefined,
    Description: rule.description ?? undefined,
  }
}
