/** The README's first five minutes, run as they are printed, so that they cannot rot. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { kilnProgram, type RunningKiln, repositoryRoot, startKiln } from './support/kiln.ts'

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

/** The `bash` blocks of a section; those of other kinds are for reading. */
function linesUnder(heading: string, markdown: string): string {
  const [, section = ''] = markdown.split(`\n## ${heading}\n`)
  const [own = ''] = section.split(/\n## /)
  return [...own.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].map(([, lines]) => lines).join('\n')
}

describe.skipIf(!hasAws)(`README${hasAws ? '' : ' (skipped: there is no aws; Debian: awscli)'}`, () => {
  let kiln: RunningKiln
  let folder: string
  beforeAll(async () => {
    kiln = await startKiln({ machines: 'qemu' })
    folder = await mkdtemp(join(tmpdir(), 'kiln-readme-'))
    await mkdir(join(folder, 'bin'))
    await symlink(kilnProgram, join(folder, 'bin/kiln'))
  })
  afterAll(async () => {
    await kiln.cleanup()
    await rm(folder, { recursive: true, force: true })
  })

  test('its first five minutes work as printed', { timeout: 900_000 }, async () => {
    const readme = await readFile(join(repositoryRoot, 'README.md'), 'utf8')
    const [first, last] = linesUnder('The first five minutes', readme).split(/^(?=bin\/kiln down --all$)/m)
    // What it costs is asked while there is somebody to ask.
    const lines = [first, linesUnder('What it costs', readme), last].join('\n')
    expect(lines).toContain('aws ec2 run-instances')
    await writeFile(join(folder, 'lines.bash'), lines)
    // A terminal that knows nothing of this Kiln but its home: the first line tells it the rest.
    const strangers = Object.entries(kiln.env).filter(([name]) => !name.startsWith('AWS_'))
    const env = {
      ...Object.fromEntries(strangers),
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    }
    const said = await run('bash', ['-eu', '-o', 'pipefail', 'lines.bash'], { cwd: folder, env, timeoutMs: 880_000 })
    expect(said).toMatch(/^Linux \d/m)
    expect(said.match(/^hello from the first instance$/gm)).toHaveLength(2)
    expect(said).toMatch(/^ami-\S+ +golden +available/m)
    expect(said).toMatch(/^BoxUsage:t3\.nano +instance running +/m)
    expect(said).toMatch(/^lab +everything +\$100\.00 /m)
    expect(said).toMatch(/^EBS-backed saves \$/m)
    expect(said.match(/^i-\S+ +- +terminated/gm)).toHaveLength(2)
    expect(said).toMatch(/nothing of the home .* runs any more\n$/)
  })
})
