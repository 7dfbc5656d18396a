/** Resource ids as requests bring them: a malformed one is told apart from one that does not exist. */
import { type ErrorCode, KilnError } from '../../../lib/errors.ts'
import { idPrefixes, isId } from '../../../lib/ids.ts'
import { clipped } from '../codec/form.ts'

/** The kinds of resources that requests name by id, and what EC2 answers to an id of another shape. */
const malformedCodes = {
  image: 'InvalidAMIID.Malformed',
  instance: 'InvalidInstanceID.Malformed',
  volume: 'InvalidVolumeID.Malformed',
  snapshot: 'InvalidSnapshotID.Malformed',
  vpc: 'InvalidVpcID.Malformed',
  subnet: 'InvalidSubnetID.Malformed',
  securityGroup: 'InvalidGroupId.Malformed',
  securityGroupRule: 'InvalidSecurityGroupRuleId.Malformed',
  networkInterface: 'InvalidNetworkInterfaceId.Malformed',
  networkInterfaceAttachment: 'InvalidNetworkInterfaceAttachmentId.Malformed',
  natGateway: 'NatGatewayMalformed',
  elasticAddress: 'InvalidAllocationID.Malformed',
  elasticAssociation: 'InvalidAssociationID.Malformed',
  internetGateway: 'InvalidInternetGatewayId.Malformed',
  routeTable: 'InvalidRouteTableId.Malformed',
  routeTableAssociation: 'InvalidAssociationID.Malformed',
  networkAcl: 'InvalidNetworkAclId.Malformed',
  networkAclAssociation: 'InvalidAssociationID.Malformed',
  dhcpOptions: 'InvalidDhcpOptionsId.Malformed',
  instanceProfileAssociation: 'InvalidAssociationID.Malformed',
  prefixList: 'InvalidPrefixListId.Malformed',
  vpcEndpoint: 'InvalidVpcEndpointId.Malformed',
  launchTemplate: 'InvalidLaunchTemplateId.Malformed',
  fleet: 'InvalidFleetId.Malformed',
  spotRequest: 'InvalidSpotInstanceRequestID.Malformed',
  // The reference names no code of its own for these.
  replaceRootVolumeTask: 'InvalidParameterValue',
  importImageTask: 'InvalidConversionTaskId.Malformed',
  importSnapshotTask: 'InvalidConversionTaskId.Malformed',
  exportImageTask: 'InvalidExportTaskID.Malformed',
  bundleTask: 'InvalidParameterValue',
} as const satisfies Record<string, ErrorCode>

export type RequestedKind = keyof typeof malformedCodes

/** The id itself. Throws the kind's `Malformed` error. */
export function readId(kind: RequestedKind, id: string): string {
  if (isId(kind, id)) return id
  throw new KilnError(malformedCodes[kind], `Invalid id: "${clipped(id)}" (expecting "${idPrefixes[kind]}-...")`)
}

/** All of them; undefined and an empty list both mean that none was asked for. */
export function readIds(kind: RequestedKind, ids: readonly string[] | undefined): string[] | undefined {
  return ids?.length ? ids.map((id) => readId(kind, id)) : undefined
}
