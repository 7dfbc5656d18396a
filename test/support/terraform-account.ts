/** What surrounds Terraform's configurations: variables that they take, and what must be gone afterwards. */
import {
  DescribeAddressesCommand,
  DescribeDhcpOptionsCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeInternetGatewaysCommand,
  DescribeKeyPairsCommand,
  DescribeLaunchTemplatesCommand,
  DescribeManagedPrefixListsCommand,
  DescribeNatGatewaysCommand,
  DescribeNetworkAclsCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  DescribeVpcsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2'
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import type { LoginKey } from './terraform.ts'

const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
/** The region in which the configurations make everything. */
const region = 'us-east-1'
/** The region whose public image `images` copies. */
const distantRegion = 'eu-west-1'

/** The variables of `images` for the Kiln at that URL, but for `private_key_file`. */
export async function imagesVariables(endpoint: string, key: LoginKey): Promise<Record<string, string>> {
  const ec2 = new EC2Client({ endpoint, region: distantRegion, credentials })
  try {
    const Filters = [{ Name: 'name', Values: ['kiln-linux-*-ebs'] }]
    const { Images: images } = await ec2.send(new DescribeImagesCommand({ Owners: ['amazon'], Filters }))
    const distantImage = images![0]!.ImageId!
    return { endpoint, public_key: key.publicKey, distant_region: distantRegion, distant_image: distantImage }
  } finally {
    ec2.destroy()
  }
}

/** What the account has besides what everybody begins with, in words. */
export async function leftOfTerraform(endpoint: string): Promise<string[]> {
  const ec2 = new EC2Client({ endpoint, region, credentials })
  const s3 = new S3Client({ endpoint, region, credentials })
  const { Reservations: reservations } = await ec2.send(new DescribeInstancesCommand({}))
  const { SecurityGroups: groups } = await ec2.send(new DescribeSecurityGroupsCommand({}))
  const { NatGateways: nats } = await ec2.send(new DescribeNatGatewaysCommand({}))
  const { NetworkAcls: acls } = await ec2.send(new DescribeNetworkAclsCommand({}))
  const { PrefixLists: lists } = await ec2.send(new DescribeManagedPrefixListsCommand({}))
  const left = {
    instances: reservations!.flatMap((one) => one.Instances!).filter((one) => one.State!.Name !== 'terminated'),
    images: (await ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))).Images!,
    snapshots: (await ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))).Snapshots!,
    volumes: (await ec2.send(new DescribeVolumesCommand({}))).Volumes!,
    addresses: (await ec2.send(new DescribeAddressesCommand({}))).Addresses!,
    keys: (await ec2.send(new DescribeKeyPairsCommand({}))).KeyPairs!,
    templates: (await ec2.send(new DescribeLaunchTemplatesCommand({}))).LaunchTemplates!,
    groups: groups!.filter(({ GroupName }) => GroupName !== 'default'),
    vpcs: (await ec2.send(new DescribeVpcsCommand({}))).Vpcs!.filter((vpc) => !vpc.IsDefault),
    interfaces: (await ec2.send(new DescribeNetworkInterfacesCommand({}))).NetworkInterfaces!,
    'NAT gateways': nats!.filter((nat) => nat.State !== 'deleted'),
    'network ACLs': acls!.filter((acl) => !acl.IsDefault),
    'DHCP options': (await ec2.send(new DescribeDhcpOptionsCommand({}))).DhcpOptions!.slice(1),
    'prefix lists': lists!.filter((list) => list.OwnerId !== 'AWS'),
    gateways: (await ec2.send(new DescribeInternetGatewaysCommand({}))).InternetGateways!.slice(1),
    buckets: (await s3.send(new ListBucketsCommand({}))).Buckets!,
  }
  for (const client of [ec2, s3]) client.destroy()
  return Object.entries(left).flatMap(([what, all]) => (all.length > 0 ? [`${all.length} ${what}`] : []))
}
