/**
 * Terraform with the AWS provider, unchanged: a configuration with all that people make around images is applied, finds
 * nothing to change afterwards, and leaves nothing when it is destroyed.
 *
 * Where the provider cannot be fetched, `KILN_TERRAFORM_PLUGINS` names a folder that has it (`terraform init -plugin-dir`).
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
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
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  DescribeVpcsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2'
import { afterAll, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const configuration = fileURLToPath(new URL('./terraform/main.tf', import.meta.url))
const accountId = '123456789012'
const folder = await mkdtemp(join(tmpdir(), 'kiln-terraform-'))
const plugins = process.env.KILN_TERRAFORM_PLUGINS
const settings = { ...process.env, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: undefined }

async function initialized(): Promise<string | null> {
  await copyFile(configuration, join(folder, 'main.tf'))
  const where = plugins ? [`-plugin-dir=${plugins}`] : []
  return await run('terraform', ['init', '-no-color', '-input=false', ...where], {
    ...{ cwd: folder, env: settings, timeoutMs: 120_000 },
  }).then(
    () => null,
    (error) =>
      error instanceof ProgramError && error.exitCode !== null ? 'its AWS provider cannot be had' : 'not installed',
  )
}
const missing = await initialized()

let kiln: RunningKiln | undefined
afterAll(async () => {
  await kiln?.cleanup()
  await rm(folder, { recursive: true, force: true })
})

const leftIn = async (region: string) => {
  const client = new EC2Client({
    endpoint: kiln!.url,
    region,
    credentials: { accessKeyId: accountId, secretAccessKey: 'any' },
  })
  const own = { Owners: ['self'] }
  const { Reservations: reservations } = await client.send(new DescribeInstancesCommand({}))
  const left = {
    instances: reservations!.flatMap((one) => one.Instances!).filter((one) => one.State!.Name !== 'terminated'),
    images: (await client.send(new DescribeImagesCommand(own))).Images,
    snapshots: (await client.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))).Snapshots,
    volumes: (await client.send(new DescribeVolumesCommand({}))).Volumes,
    addresses: (await client.send(new DescribeAddressesCommand({}))).Addresses,
    keys: (await client.send(new DescribeKeyPairsCommand({}))).KeyPairs,
    templates: (await client.send(new DescribeLaunchTemplatesCommand({}))).LaunchTemplates,
    vpcs: (await client.send(new DescribeVpcsCommand({}))).Vpcs!.filter((vpc) => !vpc.IsDefault),
    gateways: (await client.send(new DescribeInternetGatewaysCommand({}))).InternetGateways!.slice(1),
  }
  client.destroy()
  return Object.entries(left).flatMap(([what, items]) => (items!.length > 0 ? [`${items!.length} ${what}`] : []))
}

test.skipIf(missing)(`apply, no changes, destroy${missing ? ` (skipped: Terraform: ${missing})` : ''}`, async () => {
  kiln = await startKiln()
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'terraform', '-f', join(folder, 'key')])
  const publicKey = (await run('cat', [join(folder, 'key.pub')])).trim()
  const env = { ...settings, TF_VAR_endpoint: kiln.url, TF_VAR_public_key: publicKey }
  const terraform = async (...words: string[]) => {
    let said = ''
    const onOutput = (text: string) => {
      said += text
    }
    const options = { cwd: folder, env, timeoutMs: 500_000, onOutput }
    await run('terraform', [...words, '-no-color', '-input=false'], options).catch((cause) => {
      throw new Error(`terraform ${words[0]} failed:\n${said}`, { cause })
    })
  }
  await terraform('apply', '-auto-approve')
  // 0: nothing to change; 2: something.
  await terraform('plan', '-detailed-exitcode')
  await terraform('destroy', '-auto-approve')
  expect([await leftIn('us-east-1'), await leftIn('eu-west-1')]).toEqual([[], []])
})
