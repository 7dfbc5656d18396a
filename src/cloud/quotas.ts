/**
 * The quotas of an account that Kiln holds, with the names and codes that they have on AWS. They are the same for all
 * accounts and regions, and nobody can raise them. Source: "Service endpoints and quotas" in the AWS General Reference.
 */
import { limits } from '../lib/limits.ts'

export interface Quota {
  /** `vpc` */
  service: keyof typeof quotaServices
  /** `L-…` */
  code: string
  name: string
  value: number
}

/** By code, with what they are called. */
export const quotaServices = {
  ec2: 'Amazon Elastic Compute Cloud (Amazon EC2)',
  vpc: 'Amazon Virtual Private Cloud (Amazon VPC)',
} as const

/** By service and code. */
export const quotas: readonly Quota[] = [
  { service: 'ec2', code: 'L-0263D0A3', name: 'EC2-VPC Elastic IPs', value: limits.elasticAddresses },
  {
    ...{ service: 'vpc', code: 'L-0EA8095F', name: 'Inbound or outbound rules per security group' },
    value: limits.rulesPerSecurityGroup,
  },
  { service: 'vpc', code: 'L-2AEEBF1A', name: 'Rules per network ACL', value: limits.entriesPerNetworkAcl },
  {
    ...{ service: 'vpc', code: 'L-2AFB9258', name: 'Security groups per network interface' },
    value: limits.securityGroupsPerInstance,
  },
  { service: 'vpc', code: 'L-407747CB', name: 'Subnets per VPC', value: limits.subnetsPerVpc },
  { service: 'vpc', code: 'L-589F43AA', name: 'Route tables per VPC', value: limits.routeTablesPerVpc },
  { service: 'vpc', code: 'L-93826ACB', name: 'Routes per route table', value: limits.routesPerTable },
  { service: 'vpc', code: 'L-A4707A72', name: 'Internet gateways per Region', value: limits.vpcs },
  { service: 'vpc', code: 'L-B4A6D682', name: 'Network ACLs per VPC', value: limits.networkAclsPerVpc },
  { service: 'vpc', code: 'L-DF5E4CA3', name: 'Network interfaces per Region', value: limits.networkInterfaces },
  { service: 'vpc', code: 'L-F678F1CE', name: 'VPCs per Region', value: limits.vpcs },
  { service: 'vpc', code: 'L-FE5A380F', name: 'NAT gateways per Availability Zone', value: limits.natGatewaysPerZone },
]
