import type { Command } from 'commander'
import { run } from '../../lib/programs.ts'
import { daemonOf } from '../daemon.ts'
import { accountOption, homeOption, jsonOption, regionOption } from '../options.ts'
import { print, printJson } from '../render.ts'

interface EnvFlags {
  home: string
  region: string
  account: string
  json?: boolean
}

export function addEnv(program: Command): void {
  program
    .command('env')
    .description('what points AWS tools at this Kiln; type: eval "$(kiln env)"')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(env)
}

async function env(flags: EnvFlags): Promise<void> {
  const page = await daemonOf(flags.home)
  const variables: Record<string, string> = {
    AWS_ENDPOINT_URL: page.url,
    AWS_REGION: flags.region,
    AWS_DEFAULT_REGION: flags.region,
    // The AWS CLI would show every answer in a pager.
    AWS_PAGER: '',
    // A verifying daemon's secrets are shown once, when they are made: those that are set stay as they are.
    ...(page.auth === 'open' ? { AWS_ACCESS_KEY_ID: flags.account, AWS_SECRET_ACCESS_KEY: 'kiln' } : {}),
  }
  if (flags.json) return printJson(variables)
  for (const [name, value] of Object.entries(variables)) print(`export ${name}=${value}`)
  if (page.auth === 'open') print('unset AWS_SESSION_TOKEN AWS_PROFILE')
  else print("# signatures are verified: export the key that 'kiln key create' printed")
  const version = await awsCliVersion()
  if (version && !knowsEndpointVariable(version)) {
    print(`# AWS CLI ${version} does not know AWS_ENDPOINT_URL, and would ask Amazon`)
    print('aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }')
  }
}

/** `2.9.19`; undefined when there is none. */
async function awsCliVersion(): Promise<string | undefined> {
  try {
    return /^aws-cli\/([\d.]+)/.exec(await run('aws', ['--version'], { timeoutMs: 10_000 }))?.[1]
  } catch {
    return undefined
  }
}

/** Source: the change logs of AWS CLI 1 (1.29.0) and 2 (2.13.0). */
export function knowsEndpointVariable(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || minor >= (major === 2 ? 13 : 29)
}
