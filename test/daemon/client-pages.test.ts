/** The pages about clients, docs/clients: all that they print is run, against a Kiln whose machines are simulated. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { knowsEndpointVariable } from '../../src/cli/commands/env.ts'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { repositoryRoot } from '../e2e/support/kiln.ts'
import { packerSections } from '../e2e/support/packer.ts'
import { blocksOf, runBlocks } from '../support/printed-blocks.ts'
import { readersEnvironment, useReader } from '../support/reader.ts'

/** What some blocks need of this machine: why they are skipped, if they are. */
interface Need {
  missing?: string
}

const awsVersion = await run('aws', ['--version']).then(
  (said) => /^aws-cli\/([\d.]+)/.exec(said)?.[1],
  () => undefined,
)
const aws: Need = awsVersion ? {} : { missing: 'there is no aws; Debian: awscli' }
const newAws: Need =
  awsVersion && !knowsEndpointVariable(awsVersion) ? { missing: `aws ${awsVersion} reads no endpoint_url` } : aws
const nothing: Need = {}

/** Terraform finds its provider in the folder that `KILN_TERRAFORM_PLUGINS` names, where it cannot be fetched. */
const plugins = process.env.KILN_TERRAFORM_PLUGINS
const forTerraform = {
  ...{ TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: undefined, TF_CLI_ARGS: '-no-color' },
  ...(plugins ? { TF_CLI_ARGS_init: `-plugin-dir=${plugins}` } : {}),
}
const terraform = await terraformNeed()

/** The sections of each page that are typed into one terminal, one after the other. */
const walks: Readonly<Record<string, [sections: string[], need: Need][]>> = {
  'aws-cli': [
    [['By variables'], aws],
    [['By a profile'], newAws],
    [['An image, from launch to launch'], aws],
  ],
  'javascript-sdk': [[['Point it here', 'Objects'], nothing]],
  terraform: [[['The provider'], terraform]],
  'cdk-cloudformation': [[['What a deployment says', 'What to do instead'], aws]],
}
/** Those with tests of their own. */
const elsewhere: Readonly<Record<string, readonly string[]>> = {
  packer: packerSections,
  boto3: ['Point it here', 'An image of an instance', 'What it costs'],
  ci: ['Plain shell', 'GitHub Actions', 'GitLab'],
}

test('every page is linked, and every block that one prints is run', async () => {
  const files = (await readdir(join(repositoryRoot, 'docs/clients'))).filter((name) => name !== 'README.md')
  const index = await readFile(join(repositoryRoot, 'docs/clients/README.md'), 'utf8')
  expect(files.filter((file) => !index.includes(`](${file})`))).toEqual([])
  expect(await readFile(join(repositoryRoot, 'README.md'), 'utf8')).toContain('](docs/clients/README.md)')
  const printed = new Map<string, string[]>()
  for (const page of files.map((file) => file.replace('.md', ''))) {
    printed.set(page, [...new Set((await blocksOf(page)).map(({ section }) => section))])
  }
  const run = Object.entries(walks).map(([page, walked]) => [page, walked.flatMap(([sections]) => sections)])
  expect(Object.fromEntries(printed)).toEqual({ ...Object.fromEntries(run), ...elsewhere })
})

describe.each(Object.entries(walks))('%s', (page, walked) => {
  const reader = useReader(forTerraform)

  for (const [sections, { missing }] of walked) {
    test.skipIf(missing)(`${sections.join(', ')}${missing ? ` (skipped: ${missing})` : ''}`, async () => {
      const blocks = (await blocksOf(page)).filter(({ section }) => sections.includes(section))
      await runBlocks(blocks, reader)
    })
  }
})

/** Whether Terraform is here and has its provider. */
async function terraformNeed(): Promise<Need> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-pages-'))
  try {
    const provider = (await blocksOf('terraform')).find(({ file }) => file === 'provider.tf')!
    const env = { ...readersEnvironment(), ...forTerraform }
    await runBlocks([provider], { folder, url: 'http://127.0.0.1:1', env })
    await run('terraform', ['init', '-input=false'], { cwd: folder, env, timeoutMs: 120_000 })
    return {}
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    return { missing: `Terraform: ${error.exitCode === null ? 'not installed' : 'its AWS provider cannot be had'}` }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
