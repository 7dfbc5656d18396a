/**
 * Terraform with the AWS provider, unchanged, in a folder of its own with the configuration of all that people make around images.
 *
 * Where the provider cannot be fetched, `KILN_TERRAFORM_PLUGINS` names a folder that has it (`terraform init -plugin-dir`).
 */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
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
import { ProgramError, run } from '../../src/lib/programs.ts'

const configuration = fileURLToPath(new URL('./terraform/main.tf', import.meta.url))
const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
/** The two regions that the configuration uses. */
const regions = ['us-east-1', 'eu-west-1']
const initWithinMs = 120_000
const runWithinMs = 500_000

export interface Terraform {
  /** Why it cannot be run here; null where it can. */
  readonly missing: string | null
  /** Applies the configuration to the Kiln at that URL; with a login there are real guests, and a provisioner enters one. */
  apply(url: string, options?: { hasLogin?: boolean }): Promise<void>
  /** Fails when there is anything to change after {@link apply}. */
  planNothing(): Promise<void>
  destroy(): Promise<void>
  /** Removes its folder. */
  remove(): Promise<void>
}

/** Terraform with its folder initialized, or what is missing for that. */
export async function openTerraform(): Promise<Terraform> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-terraform-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  const keyFile = join(folder, 'key')
  const env: NodeJS.ProcessEnv = { ...process.env, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1' }
  delete env.TF_CLI_CONFIG_FILE

  async function terraform(timeoutMs: number, ...words: string[]): Promise<void> {
    let said = ''
    const onOutput = (text: string) => {
      said += text
    }
    const options = { cwd: folder, env, timeoutMs, onOutput }
    await run('terraform', [...words, '-no-color', '-input=false'], options).catch((cause) => {
      throw new Error(`terraform ${words[0]} failed:\n${said}`, { cause })
    })
  }

  async function init(): Promise<string | null> {
    await copyFile(configuration, join(folder, 'main.tf'))
    const plugins = process.env.KILN_TERRAFORM_PLUGINS
    try {
      await terraform(initWithinMs, 'init', ...(plugins ? [`-plugin-dir=${plugins}`] : []))
      return null
    } catch (error) {
      await remove()
      const { cause } = error as Error
      const isInstalled = cause instanceof ProgramError && cause.exitCode !== null
      return isInstalled ? 'its AWS provider cannot be had' : 'not installed'
    }
  }

  return {
    missing: await init(),
    async apply(url, { hasLogin = false } = {}) {
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'terraform', '-f', keyFile])
      env.TF_VAR_endpoint = url
      env.TF_VAR_public_key = (await readFile(`${keyFile}.pub`, 'utf8')).trim()
      if (hasLogin) env.TF_VAR_private_key_file = keyFile
      await terraform(runWithinMs, 'apply', '-auto-approve')
    },
    // Exit code 0: nothing to change; 2: something.
    planNothing: () => terraform(runWithinMs, 'plan', '-detailed-exitcode'),
    destroy: () => terraform(runWithinMs, 'destroy', '-auto-approve'),
    remove,
  }
}

/** What the account has in the configuration's regions besides what everybody begins with, in words. */
export async function leftOfTerraform(url: string): Promise<string[]> {
  return (await Promise.all(regions.map((region) => leftIn(url, region)))).flat()
}

async function leftIn(endpoint: string, region: string): Promise<string[]> {
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
  return Object.entries(left).flatMap(([what, all]) => (all.length > 0 ? [`${all.length} ${what} in ${region}`] : []))
}
