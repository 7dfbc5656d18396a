/** What docs/clients/ci.md prints for CI services, each step in a shell as the service starts it. */
import { rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { run } from '../../src/lib/programs.ts'
import { kilnProgram, newHome, repositoryRoot } from '../e2e/support/kiln.ts'
import { blocksOf, type Ground, here, runBlocks, typeLines } from '../support/printed-blocks.ts'
import { readersEnvironment, readersFolder } from '../support/reader.ts'

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

describe.skipIf(!hasAws)(`the page about CI${hasAws ? '' : ' (skipped: there is no aws; Debian: awscli)'}`, () => {
  let ground: Ground
  let home: string
  beforeAll(async () => {
    home = await newHome()
    const port = await freePort()
    const settings = { KILN_HOME: home, KILN_PORT: `${port}`, KILN_MACHINES: 'simulated' }
    const env = { ...readersEnvironment(), ...settings }
    ground = { folder: await readersFolder(), url: `http://127.0.0.1:${port}`, env }
    await symlink(repositoryRoot, join(ground.folder, 'kiln'))
  })
  afterAll(async () => {
    // Whatever became of the job.
    await run(kilnProgram, ['down', '--all', '--home', home], { timeoutMs: 120_000 }).finally(async () => {
      await rm(home, { recursive: true, force: true })
      await rm(ground.folder, { recursive: true, force: true })
    })
  })

  /** What all steps of a job said. */
  async function stepsOf(steps: readonly string[]): Promise<string> {
    const said: string[] = []
    for (const lines of steps) said.push(await typeLines(here(lines, ground), ground))
    return said.join('\n')
  }
  const yamlOf = async (section: string) => {
    const blocks = await blocksOf('ci', section)
    expect(blocks.map(({ language }) => language)).toEqual(['yaml'])
    return parse(blocks[0]!.text)
  }
  const isOver = () =>
    fetch(ground.url).then(
      () => false,
      () => true,
    )

  test('plain shell', async () => {
    await runBlocks(await blocksOf('ci', 'Plain shell'), ground)
    expect(await isOver()).toBe(true)
  })

  test('GitHub Actions: each step in a shell of its own', async () => {
    const workflow = await yamlOf('GitHub Actions')
    expect(workflow).toMatchObject({ on: 'push', jobs: { images: { 'runs-on': expect.any(String) } } })
    const steps: { run?: string; uses?: string }[] = workflow.jobs.images.steps
    expect(steps.flatMap(({ uses }) => uses ?? [])).toEqual(['actions/checkout@v4'])
    expect(await stepsOf(steps.flatMap(({ run }) => run ?? []))).toMatch(/^kiln-linux-/m)
    expect(await isOver()).toBe(true)
  })

  test('GitLab: before_script and script in one shell, after_script in another', async () => {
    const { images: job } = await yamlOf('GitLab')
    const steps = [[...job.before_script, ...job.script].join('\n'), job.after_script.join('\n')]
    expect(await stepsOf(steps)).toMatch(/^kiln-linux-/m)
    expect(await isOver()).toBe(true)
  })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
