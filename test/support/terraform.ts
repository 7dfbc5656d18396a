/**
 * Terraform with the AWS provider, unchanged, in a folder of its own with one of the configurations beside this file.
 *
 * Where the provider cannot be fetched, `KILN_TERRAFORM_PLUGINS` names a folder that has it (`terraform init -plugin-dir`).
 */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'

const initWithinMs = 120_000
const runWithinMs = 500_000

/**
 * `images`: all that people make around images; `networks`: what instances are in, fleets and spot instances; `identities`:
 * users, roles, and an instance with a profile.
 */
export type TerraformConfiguration = 'images' | 'networks' | 'identities'

export interface Terraform {
  /** Why it cannot be run here; null where it can. */
  readonly missing: string | null
  /** That, for a test's title. */
  readonly note: string
  /** Applies the configuration with these variables, which later commands have as well. */
  apply(variables: Record<string, string>): Promise<void>
  /** Fails when there is anything to change after {@link apply}. */
  planNothing(): Promise<void>
  destroy(): Promise<void>
  /** A key pair to log in with, in its folder. */
  newLoginKey(): Promise<LoginKey>
}

export interface LoginKey {
  readonly publicKey: string
  readonly privateKeyFile: string
}

/** Terraform with its folder initialized, or what is missing for that. The folder is gone after the file's tests. */
export async function useTerraform(configuration: TerraformConfiguration): Promise<Terraform> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-terraform-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  afterAll(remove)
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
    const file = fileURLToPath(new URL(`./terraform/${configuration}.tf`, import.meta.url))
    await copyFile(file, join(folder, 'main.tf'))
    const plugins = process.env.KILN_TERRAFORM_PLUGINS
    try {
      await terraform(initWithinMs, 'init', ...(plugins ? [`-plugin-dir=${plugins}`] : []))
      return null
    } catch (error) {
      // Where all tests of a file are skipped, nothing is called after them.
      await remove()
      const { cause } = error as Error
      const isInstalled = cause instanceof ProgramError && cause.exitCode !== null
      return isInstalled ? 'its AWS provider cannot be had' : 'not installed'
    }
  }

  const missing = await init()
  return {
    missing,
    note: missing ? ` (skipped: Terraform: ${missing})` : '',
    async apply(variables) {
      for (const [name, value] of Object.entries(variables)) env[`TF_VAR_${name}`] = value
      await terraform(runWithinMs, 'apply', '-auto-approve')
    },
    // Exit code 0: nothing to change; 2: something.
    planNothing: () => terraform(runWithinMs, 'plan', '-detailed-exitcode'),
    destroy: () => terraform(runWithinMs, 'destroy', '-auto-approve'),
    async newLoginKey() {
      const privateKeyFile = join(folder, 'key')
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'terraform', '-f', privateKeyFile])
      return { publicKey: (await readFile(`${privateKeyFile}.pub`, 'utf8')).trim(), privateKeyFile }
    },
  }
}
