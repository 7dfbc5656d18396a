/** What is said of parts of a network that the account has not in the region, one code a kind, and of those in use. */
import { KilnError } from '../../lib/errors.ts'

export const vpcNotFound = (id: string) => new KilnError('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`)
export const subnetNotFound = (id: string) =>
  new KilnError('InvalidSubnetID.NotFound', `The subnet ID '${id}' does not exist`)
export const interfaceNotFound = (id: string) =>
  new KilnError('InvalidNetworkInterfaceID.NotFound', `The networkInterface ID '${id}' does not exist`)
export const internetGatewayNotFound = (id: string) =>
  new KilnError('InvalidInternetGatewayID.NotFound', `The internetGateway ID '${id}' does not exist`)
export const routeTableNotFound = (id: string) =>
  new KilnError('InvalidRouteTableID.NotFound', `The routeTable ID '${id}' does not exist`)
export const networkAclNotFound = (id: string) =>
  new KilnError('InvalidNetworkAclID.NotFound', `The networkAcl ID '${id}' does not exist`)
export const dhcpOptionsNotFound = (id: string) =>
  new KilnError('InvalidDhcpOptionID.NotFound', `The dhcpOption ID '${id}' does not exist`)
export const associationNotFound = (id: string) =>
  new KilnError('InvalidAssociationID.NotFound', `The association ID '${id}' does not exist`)

export const prefixListNotFound = (id: string) =>
  new KilnError('InvalidPrefixListID.NotFound', `The prefix list ID '${id}' does not exist`)
export const vpcEndpointNotFound = (id: string) =>
  new KilnError('InvalidVpcEndpointId.NotFound', `The Vpc Endpoint Id '${id}' does not exist`)

export const natGatewayNotFound = (id: string) =>
  new KilnError('NatGatewayNotFound', `The Nat Gateway ${id} was not found`)
export const allocationNotFound = (id: string) =>
  new KilnError('InvalidAllocationID.NotFound', `The allocation ID '${id}' does not exist`)

/** Something else needs it. */
export const dependency = (kind: string, id: string) =>
  new KilnError('DependencyViolation', `The ${kind} '${id}' has dependencies and cannot be deleted.`)
