/**
 * Terraform with the AWS provider, unchanged: users, roles, policies and an instance with a profile are applied, nothing is
 * to be changed afterwards, and nothing is left when they are destroyed. The provider as in `terraform.test.ts`.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  GetAccountSummaryCommand,
  IAMClient,
  ListAccessKeysCommand,
  ListAccountAliasesCommand,
} from '@aws-sdk/client-iam'
import { afterAll, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const configuration = fileURLToPath(new URL('./terraform-iam/main.tf', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'kiln-terraform-iam-'))
const plugins = process.env.KILN_TERRAFORM_PLUGINS
const settings = { ...process.env, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: undefined }

async function initialized(): Promise<string | null> {
  await copyFile(configuration, join(folder, 'main.tf'))
  const where = plugins ? [`-plugin-dir=${plugins}`] : []
  const options = { cwd: folder, env: settings, timeoutMs: 120_000 }
  return await run('terraform', ['init', '-no-color', '-input=false', ...where], options).then(
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

test.skipIf(missing)(`apply, no changes, destroy${missing ? ` (skipped: Terraform: ${missing})` : ''}`, async () => {
  kiln = await startKiln({ machines: 'simulated' })
  const env = { ...settings, TF_VAR_endpoint: kiln.url }
  const terraform = async (...words: string[]) => {
    let said = ''
    const onOutput = (text: string) => {
      said += text
    }
    const options = { cwd: folder, env, timeoutMs: 300_000, onOutput }
    await run('terraform', [...words, '-no-color', '-input=false'], options).catch((cause) => {
      throw new Error(`terraform ${words[0]} failed:\n${said}`, { cause })
    })
  }
  const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
  const iam = new IAMClient({ endpoint: kiln.url, region: 'eu-west-1', credentials })
  const summary = async () => (await iam.send(new GetAccountSummaryCommand({}))).SummaryMap!
  try {
    await terraform('apply', '-auto-approve')
    expect(await summary()).toMatchObject({ Users: 1, Groups: 1, Roles: 1, InstanceProfiles: 1, Policies: 1 })
    const { AccessKeyMetadata: keys } = await iam.send(new ListAccessKeysCommand({ UserName: 'deploy' }))
    expect(keys!.map((key) => key.Status)).toEqual(['Active'])
    // 0: nothing to change; 2: something.
    await terraform('plan', '-detailed-exitcode')
    await terraform('destroy', '-auto-approve')
    expect(await summary()).toMatchObject({ Users: 0, Groups: 0, Roles: 0, InstanceProfiles: 0, Policies: 0 })
    expect((await iam.send(new ListAccountAliasesCommand({}))).AccountAliases).toEqual([])
  } finally {
    iam.destroy()
  }
})
