import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describePresence, presenceOf } from '../../src/cli/leftovers.ts'
import { instanceStore } from '../../src/cli/tour/instance-store.ts'
import { lifeOfAnImage } from '../../src/cli/tour/steps.ts'
import { defaultHome, homeAt } from '../../src/lib/home.ts'
import { run } from '../../src/lib/programs.ts'
import { cleanEnvironment, kilnProgram } from './support/kiln.ts'

function expectAllSteps(shown: string, steps: readonly { title: string }[]): void {
  for (const [index, { title }] of steps.entries()) expect(shown).toContain(`${index + 1}  ${title}\n`)
  expect(shown.match(/^ {4}✓ /gm)).toHaveLength(steps.length)
  expect(shown).toMatch(new RegExp(`\n✓ All ${steps.length} steps in \\d.* s\\.\n$`))
}

describe('kiln tour', () => {
  /** Where the tour makes its home and whatever else; nobody else's tour does. */
  let folder: string
  let env: NodeJS.ProcessEnv
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kiln-t-'))
    // The default home lends its images, wherever the tests were told that it is.
    env = { ...cleanEnvironment(), KILN_HOME: defaultHome(), TMPDIR: folder }
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  test('walks the whole life of an image on real machines, and leaves nothing', { timeout: 900_000 }, async () => {
    const shown = await run(kilnProgram, ['tour'], { env, timeoutMs: 880_000 })
    expectAllSteps(shown, lifeOfAnImage.steps)

    const texts = [...shown.matchAll(/"(kiln tour [0-9a-f]{8})"/g)].map(([, text]) => text)
    expect(texts.length).toBeGreaterThanOrEqual(3)
    expect(new Set(texts).size).toBe(1)
    expect(shown).toContain('(InvalidAMIID.Unavailable)')
    expect(shown).toMatch(/\n {5}\$ aws ec2 run-instances --image-id ami-[0-9a-f]{17} .*--count 2\n/)
    expect(await readdir(folder)).toEqual([])
  })

  test('walks the instance store, compares what it measured, and leaves nothing', { timeout: 900_000 }, async () => {
    const shown = await run(kilnProgram, ['tour', 'instance-store'], { env, timeoutMs: 880_000 })
    expectAllSteps(shown, instanceStore.steps)
    expect(shown).toMatch(/'sudo -i -n ec2-bundle-vol .*'\n/)
    expect(shown).toContain('StopInstances answers UnsupportedOperation')
    expect(shown.match(/launch to login: \d/g)).toHaveLength(2)
    expect(shown).toContain('$72.00 a month')
    expect(await readdir(folder)).toEqual([])
  })

  test('interrupted, it says so and leaves nothing either', async () => {
    const tour = spawn(kilnProgram, ['tour'], { env, stdio: ['ignore', 'pipe', 'ignore'] })
    const ended = new Promise((resolve) => tour.once('close', resolve))
    const started = '✓ It answers at'
    let shown = ''
    tour.stdout.setEncoding('utf8').on('data', (text: string) => {
      const hadStarted = shown.includes(started)
      shown += text
      if (!hadStarted && shown.includes(started)) tour.kill('SIGINT')
    })
    expect(await ended).toBe(1)
    expect(shown).toContain('✗ interrupted')
    expect(await readdir(folder)).toEqual([])
    const [, root] = /in (\/\S*kiln-tour-\S+)\n/.exec(shown)!
    expect(describePresence(presenceOf(homeAt(root!)))).toBeUndefined()
  })
})
