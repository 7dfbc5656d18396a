/** What surrounds Terraform's configuration `images`: the variables that it takes, and what must be gone afterwards. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DescribeAddressesCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeInternetGatewaysCommand,
  DescribeKeyPairsCommand,
  DescribeLaunchTemplatesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  DescribeVpcsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2'
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { run } from '../../src/lib/programs.ts'

const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
/** The region in which the configuration makes everything. */
const region = 'us-east-1'
/** The region whose public image it copies. */
const distantRegion = 'eu-west-1'

export interface LoginKey {
  readonly publicKey: string
  readonly privateKeyFile: string
  /** Removes its files. */
  remove(): Promise<void>
}

export async function newLoginKey(): Promise<LoginKey> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-login-key-'))
  const privateKeyFile = join(folder, 'key')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'terraform', '-f', privateKeyFile])
  const publicKey = (await readFile(`${privateKeyFile}.pub`, 'utf8')).trim()
  return { publicKey, privateKeyFile, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** The variables of the configuration for the Kiln at that URL, but for `private_key_file`. */
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
export async function leftOfImages(endpoint: string): Promise<string[]> {
  const ec2 = new EC2Client({ endpoint, region, credentials })
  const s3 = new S3Client({ endpoint, region, credentials })
  const { Reservations: reservations } = await ec2.send(new DescribeInstancesCommand({}))
  const { SecurityGroups: groups } = await ec2.send(new DescribeSecurityGroupsCommand({}))
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
    gateways: (await ec2.send(new DescribeInternetGatewaysCommand({}))).InternetGateways!.slice(1),
    buckets: (await s3.send(new ListBucketsCommand({}))).Buckets!,
  }
  for (const client of [ec2, s3]) client.destroy()
  return Object.entries(left).flatMap(([what, all]) => (all.length > 0 ? [`${all.length} ${what}`] : []))
}
