/** The EC2 operations that Kiln serves, composed of one object a resource family. */
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { accountSettingHandlers } from './account-settings.ts'
import { bundleTaskHandlers } from './bundle-tasks.ts'
import { dhcpOptionsHandlers } from './dhcp-options.ts'
import { ebsEncryptionHandlers } from './ebs-encryption.ts'
import { elasticAddressHandlers } from './elastic-addresses.ts'
import { fastSnapshotRestoreHandlers } from './fast-snapshot-restores.ts'
import { fleetHandlers } from './fleets.ts'
import { imageExportHandlers } from './image-exports.ts'
import { imageImportHandlers } from './image-imports.ts'
import { imagePermissionHandlers } from './image-permissions.ts'
import { imageHandlers } from './images.ts'
import { instanceAttributeHandlers } from './instance-attributes.ts'
import { instanceCreditHandlers } from './instance-credits.ts'
import { instanceFactHandlers } from './instance-facts.ts'
import { instanceProfileHandlers } from './instance-profiles.ts'
import { instanceTypeHandlers } from './instance-types.ts'
import { instanceHandlers } from './instances.ts'
import { internetGatewayHandlers } from './internet-gateways.ts'
import { keyPairHandlers } from './key-pairs.ts'
import { launchTemplateVersionHandlers } from './launch-template-versions.ts'
import { launchTemplateHandlers } from './launch-templates.ts'
import { natGatewayHandlers } from './nat-gateways.ts'
import { networkAclHandlers } from './network-acls.ts'
import { networkInterfaceHandlers } from './network-interfaces.ts'
import { placeHandlers } from './places.ts'
import { prefixListHandlers } from './prefix-lists.ts'
import { publicAccessHandlers } from './public-access.ts'
import { rootReplacementHandlers } from './root-replacements.ts'
import { routeHandlers } from './routes.ts'
import { securityGroupRuleHandlers } from './security-group-rules.ts'
import { securityGroupHandlers } from './security-groups.ts'
import { snapshotLockHandlers } from './snapshot-locks.ts'
import { snapshotPermissionHandlers } from './snapshot-permissions.ts'
import { snapshotTierHandlers } from './snapshot-tiers.ts'
import { snapshotHandlers } from './snapshots.ts'
import { spotInstanceHandlers } from './spot-instances.ts'
import { spotPriceHandlers } from './spot-prices.ts'
import { storedImageHandlers } from './stored-images.ts'
import { tagHandlers } from './tags.ts'
import { volumeAttachmentHandlers } from './volume-attachments.ts'
import { volumeModificationHandlers } from './volume-modifications.ts'
import { volumeStatusHandlers } from './volume-status.ts'
import { volumeHandlers } from './volumes.ts'
import { vpcEndpointHandlers } from './vpc-endpoints.ts'
import { vpcHandlers } from './vpcs.ts'

export const ec2Handlers: Ec2Handlers<Cloud> = {
  ...accountSettingHandlers,
  ...fastSnapshotRestoreHandlers,
  ...bundleTaskHandlers,
  ...dhcpOptionsHandlers,
  ...ebsEncryptionHandlers,
  ...elasticAddressHandlers,
  ...fleetHandlers,
  ...imageHandlers,
  ...imageExportHandlers,
  ...imageImportHandlers,
  ...imagePermissionHandlers,
  ...instanceAttributeHandlers,
  ...instanceCreditHandlers,
  ...instanceFactHandlers,
  ...instanceHandlers,
  ...instanceProfileHandlers,
  ...instanceTypeHandlers,
  ...internetGatewayHandlers,
  ...keyPairHandlers,
  ...launchTemplateHandlers,
  ...launchTemplateVersionHandlers,
  ...natGatewayHandlers,
  ...networkAclHandlers,
  ...networkInterfaceHandlers,
  ...placeHandlers,
  ...prefixListHandlers,
  ...publicAccessHandlers,
  ...rootReplacementHandlers,
  ...routeHandlers,
  ...securityGroupHandlers,
  ...securityGroupRuleHandlers,
  ...snapshotHandlers,
  ...snapshotLockHandlers,
  ...snapshotPermissionHandlers,
  ...snapshotTierHandlers,
  ...spotInstanceHandlers,
  ...spotPriceHandlers,
  ...storedImageHandlers,
  ...tagHandlers,
  ...volumeAttachmentHandlers,
  ...volumeHandlers,
  ...volumeModificationHandlers,
  ...volumeStatusHandlers,
  ...vpcEndpointHandlers,
  ...vpcHandlers,
}
