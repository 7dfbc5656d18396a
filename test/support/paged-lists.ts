/**
 * How each paginator of the official clients is run, and an account with enough of everything for more than one page.
 * An operation that Kiln newly serves adds a line to {@link pagedLists}, and to {@link fillAccount} what makes two pages of it.
 */
import {
  AllocateAddressCommand,
  AssociateIamInstanceProfileCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateDhcpOptionsCommand,
  CreateImageCommand,
  CreateInternetGatewayCommand,
  CreateLaunchTemplateCommand,
  CreateLaunchTemplateVersionCommand,
  CreateManagedPrefixListCommand,
  CreateNatGatewayCommand,
  CreateReplaceRootVolumeTaskCommand,
  CreateSecurityGroupCommand,
  CreateStoreImageTaskCommand,
  CreateSubnetCommand,
  CreateTagsCommand,
  CreateVpcCommand,
  CreateVpcEndpointCommand,
  DescribeSubnetsCommand,
  EnableFastSnapshotRestoresCommand,
  ExportImageCommand,
  ImportImageCommand,
  ImportSnapshotCommand,
  ModifyVolumeCommand,
  RequestSpotInstancesCommand,
} from '@aws-sdk/client-ec2'
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { type Caller, callerOf } from './caller.ts'
import { blockOf, DirectSnapshots } from './direct-snapshots.ts'
import { account, region } from './official-services.ts'
import { fillIdentities, identityLists } from './paged-identities.ts'
import type { ServedCloud } from './served-cloud.ts'

export interface PagedList {
  input?: object
  /** Things on a page; the fewest that most of EC2's lists take, unless given. */
  pageSize?: number
  /** Why there cannot be two pages. */
  onePage?: string
}

/** Of what there are two. */
const single = { pageSize: 1 }
const few = [0, 1, 2, 3, 4, 5]
const zones = [`${region}a`, `${region}b`]
const [bucket, secondBucket] = ['lists-of-clients', 'lists-of-clients-too']
/** One more than the shortest page that the EBS direct APIs give. */
const blocks = Array.from({ length: 101 }, (_, index) => index)

export interface FilledAccount {
  prefixListId: string
  templateId: string
  /** What the snapshot was changed from. */
  baseId: string
  snapshotId: string
  uploadId: string
}

export function pagedLists({
  prefixListId,
  templateId,
  baseId,
  snapshotId,
  uploadId,
}: FilledAccount): Readonly<Record<string, PagedList>> {
  return {
    'ec2.DescribeAddressesAttribute': { input: { Attribute: 'domain-name' }, onePage: 'addresses have no names' },
    'ec2.DescribeDhcpOptions': {},
    'ec2.DescribeExportImageTasks': single,
    'ec2.DescribeFastSnapshotRestores': single,
    'ec2.DescribeFleets': { onePage: 'instant fleets are told by their ids alone' },
    'ec2.DescribeIamInstanceProfileAssociations': {},
    'ec2.DescribeImages': { input: { Owners: ['self'] } },
    'ec2.DescribeImportImageTasks': single,
    'ec2.DescribeImportSnapshotTasks': single,
    'ec2.DescribeInstanceCreditSpecifications': {},
    'ec2.DescribeInstances': {},
    'ec2.DescribeInstanceStatus': {},
    'ec2.DescribeInstanceTypeOfferings': {},
    'ec2.DescribeInstanceTypes': {},
    'ec2.DescribeInternetGateways': {},
    'ec2.DescribeLaunchTemplates': single,
    'ec2.DescribeLaunchTemplateVersions': { input: { LaunchTemplateId: templateId }, pageSize: 1 },
    'ec2.DescribeManagedPrefixLists': single,
    'ec2.DescribeNatGateways': {},
    'ec2.DescribeNetworkAcls': {},
    'ec2.DescribeNetworkInterfaces': {},
    'ec2.DescribePrefixLists': { onePage: 'AWS has two' },
    'ec2.DescribeReplaceRootVolumeTasks': single,
    'ec2.DescribeRouteTables': {},
    'ec2.DescribeSecurityGroupRules': {},
    'ec2.DescribeSecurityGroups': {},
    'ec2.DescribeSnapshots': { input: { OwnerIds: ['self'] } },
    'ec2.DescribeSnapshotTierStatus': {},
    'ec2.DescribeSpotInstanceRequests': {},
    'ec2.DescribeSpotPriceHistory': { input: { InstanceTypes: ['t3.nano', 't3.micro', 't3.small'] } },
    'ec2.DescribeStoreImageTasks': single,
    'ec2.DescribeSubnets': {},
    'ec2.DescribeTags': {},
    'ec2.DescribeVolumes': {},
    'ec2.DescribeVolumesModifications': {},
    'ec2.DescribeVolumeStatus': {},
    'ec2.DescribeVpcEndpoints': {},
    'ec2.DescribeVpcEndpointServices': { onePage: 'there is one' },
    'ec2.DescribeVpcs': {},
    'ec2.GetManagedPrefixListAssociations': { input: { PrefixListId: prefixListId } },
    'ec2.GetManagedPrefixListEntries': { input: { PrefixListId: prefixListId } },
    's3.ListBuckets': single,
    's3.ListMultipartUploads': { input: { Bucket: bucket }, pageSize: 1 },
    's3.ListObjects': { input: { Bucket: bucket }, pageSize: 2 },
    's3.ListObjectsV2': { input: { Bucket: bucket }, pageSize: 2 },
    's3.ListObjectVersions': { input: { Bucket: bucket }, pageSize: 2 },
    's3.ListParts': { input: { Bucket: bucket, Key: 'parts', UploadId: uploadId }, pageSize: 1 },
    'ebs.ListChangedBlocks': { input: { FirstSnapshotId: baseId, SecondSnapshotId: snapshotId }, pageSize: 100 },
    'ebs.ListSnapshotBlocks': { input: { SnapshotId: snapshotId }, pageSize: 100 },
    ...identityLists(account),
    'pricing.DescribeServices': single,
    'pricing.GetAttributeValues': { input: { ServiceCode: 'AmazonEC2', AttributeName: 'instanceType' }, pageSize: 3 },
    'pricing.GetProducts': { input: { ServiceCode: 'AmazonEC2' }, pageSize: 50 },
    'service-quotas.ListAWSDefaultServiceQuotas': { input: { ServiceCode: 'vpc' } },
    'service-quotas.ListServiceQuotas': { input: { ServiceCode: 'vpc' } },
    'service-quotas.ListServices': single,
  }
}

/** Resolves when nothing in the account changes any more. */
export async function fillAccount(served: ServedCloud): Promise<FilledAccount> {
  const caller = await callerOf(served, account, region)
  const { ec2 } = caller
  const profile = await fillIdentities(served.iam(account), account)
  const [{ uploadId, imageFile }, images, prefixListId] = await Promise.all([
    fillBuckets(served),
    fillMachines(caller, profile),
    fillNetwork(caller),
  ])
  const templateId = await fillTemplates(caller)
  const container = { Format: 'raw', UserBucket: { S3Bucket: bucket, S3Key: imageFile } }
  for (const ImageId of images.slice(0, 2)) {
    await ec2.send(new CreateStoreImageTaskCommand({ ImageId, Bucket: bucket }))
    await ec2.send(
      new ExportImageCommand({ ImageId, DiskImageFormat: 'VMDK', S3ExportLocation: { S3Bucket: secondBucket } }),
    )
    await ec2.send(new ImportImageCommand({ DiskContainers: [container] }))
    await ec2.send(new ImportSnapshotCommand({ DiskContainer: container }))
  }
  const direct = new DirectSnapshots(served.ebs(account, region), ec2)
  const baseId = await direct.make(new Map([[0, blockOf('base')]]))
  const disk = new Map(blocks.map((index) => [index, blockOf('changed')]))
  const snapshotId = await direct.make(disk, { ParentSnapshotId: baseId })
  const SourceSnapshotIds = [snapshotId]
  await ec2.send(new EnableFastSnapshotRestoresCommand({ AvailabilityZones: zones, SourceSnapshotIds }))
  await caller.quiet()
  return { prefixListId, templateId, baseId, snapshotId, uploadId }
}

/** Instances, each of a launch of its own, with roots that were changed and replaced; images of them. */
async function fillMachines(caller: Caller, profile: string): Promise<string[]> {
  const { ec2 } = caller
  const LaunchSpecification = { ImageId: caller.seedImage, InstanceType: 't3.nano' } as const
  await ec2.send(new RequestSpotInstancesCommand({ InstanceCount: few.length, LaunchSpecification }))
  const instances = await Promise.all(few.map(async () => (await caller.launch())[0]))
  const ids = instances.map(({ InstanceId }) => InstanceId!)
  await ec2.send(new CreateTagsCommand({ Resources: ids, Tags: [{ Key: 'kind', Value: 'listed' }] }))
  for (const InstanceId of ids) {
    await ec2.send(new AssociateIamInstanceProfileCommand({ InstanceId, IamInstanceProfile: { Name: profile } }))
  }
  const images = await Promise.all(
    ids.map((InstanceId) => ec2.send(new CreateImageCommand({ InstanceId, Name: `of ${InstanceId}`, NoReboot: true }))),
  )
  await Promise.all(images.map(({ ImageId }) => caller.image(ImageId!)))
  const roots = instances.map(({ BlockDeviceMappings: disks }) => disks![0]!.Ebs!.VolumeId!)
  await Promise.all(roots.map((VolumeId) => ec2.send(new ModifyVolumeCommand({ VolumeId, Size: 2 }))))
  for (const InstanceId of ids.slice(0, 2)) await ec2.send(new CreateReplaceRootVolumeTaskCommand({ InstanceId }))
  return images.map(({ ImageId }) => ImageId!)
}

/** The id of a prefix list, of which groups make use. */
async function fillNetwork({ ec2 }: Caller): Promise<string> {
  const list = { PrefixListName: 'listed', AddressFamily: 'IPv4', MaxEntries: few.length }
  const Entries = few.map((one) => ({ Cidr: `10.${one}.0.0/16` }))
  const { PrefixList: made } = await ec2.send(new CreateManagedPrefixListCommand({ ...list, Entries }))
  const PrefixListId = made!.PrefixListId!
  const { Subnets: subnets } = await ec2.send(new DescribeSubnetsCommand({}))
  for (const one of few) {
    const { Vpc: vpc } = await ec2.send(new CreateVpcCommand({ CidrBlock: `10.${one}.0.0/16` }))
    const { VpcId } = vpc!
    await ec2.send(new CreateSubnetCommand({ VpcId, CidrBlock: `10.${one}.0.0/24` }))
    await ec2.send(new CreateInternetGatewayCommand({}))
    const DhcpConfigurations = [{ Key: 'domain-name', Values: [`listed-${one}.example`] }]
    await ec2.send(new CreateDhcpOptionsCommand({ DhcpConfigurations }))
    const { AllocationId } = await ec2.send(new AllocateAddressCommand({}))
    // A zone has room for five, and only the default subnets lead to a gateway.
    const { SubnetId } = subnets![one % 2]!
    await ec2.send(new CreateNatGatewayCommand({ SubnetId, AllocationId }))
    await ec2.send(new CreateVpcEndpointCommand({ VpcId, ServiceName: `com.amazonaws.${region}.s3` }))
    const about = { GroupName: `listed-${one}`, Description: 'listed', VpcId }
    const { GroupId } = await ec2.send(new CreateSecurityGroupCommand(about))
    const rule = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, PrefixListIds: [{ PrefixListId }] }
    await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: [rule] }))
  }
  return PrefixListId
}

async function fillTemplates({ ec2 }: Caller): Promise<string> {
  const LaunchTemplateData = { InstanceType: 't3.nano' } as const
  const create = async (LaunchTemplateName: string) => {
    const made = await ec2.send(new CreateLaunchTemplateCommand({ LaunchTemplateName, LaunchTemplateData }))
    return made.LaunchTemplate!.LaunchTemplateId!
  }
  const LaunchTemplateId = await create('one')
  await create('two')
  await ec2.send(new CreateLaunchTemplateVersionCommand({ LaunchTemplateId, LaunchTemplateData }))
  return LaunchTemplateId
}

async function fillBuckets(served: ServedCloud): Promise<{ uploadId: string; imageFile: string }> {
  const s3 = served.s3(account, region)
  for (const Bucket of [bucket, secondBucket]) await s3.send(new CreateBucketCommand({ Bucket }))
  for (const Key of ['disk', 'a', 'b'])
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.alloc(1024 ** 2) }))
  const start = async (Key: string) =>
    (await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))).UploadId!
  const uploadId = await start('parts')
  await start('others')
  const part = { Bucket: bucket, Key: 'parts', UploadId: uploadId, Body: 'part' }
  for (const PartNumber of [1, 2]) await s3.send(new UploadPartCommand({ ...part, PartNumber }))
  return { uploadId, imageFile: 'disk' }
}
