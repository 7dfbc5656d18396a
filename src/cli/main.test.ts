import { CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { exitCodeOf, oneLine, UsageError } from './failure.ts'
import { kilnCommand } from './main.ts'

/** What the command threw, and what it said on standard error. */
async function failureOf(...args: string[]): Promise<{ error: unknown; said: string }> {
  const program = kilnCommand()
  let said = ''
  const writeErr = (text: string) => {
    said += text
  }
  for (const command of [program, ...program.commands, ...program.commands.flatMap((group) => group.commands)]) {
    command.configureOutput({ writeOut: () => {}, writeErr })
  }
  const error = await program.parseAsync(args, { from: 'user' }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return { error, said }
}

describe('the kiln command', () => {
  test('has its commands', () => {
    const names = kilnCommand().commands.flatMap((command) =>
      command.commands.length === 0
        ? [command.name()]
        : command.commands.map((sub) => `${command.name()} ${sub.name()}`),
    )
    expect(names).toEqual(
      ['serve', 'down', 'status', 'env', 'doctor', 'tour', 'image list', 'image cost', 'image import'].concat([
        'image export',
        'image pull',
        'image build',
        'image store',
        'image restore',
        'image register',
        'instance list',
        'volume show',
        'volume hydrate',
        'snapshot diff',
        'snapshot import',
        'key create',
        'key list',
        'key delete',
        'key rotate',
        'key disable',
        'key enable',
        'key alias',
        'key grant',
        'key revoke',
        'bundle image',
        'bundle instance',
        'bundle upload',
        'bundle download',
        'bundle unbundle',
        'bundle delete',
        'cert show',
        'cert create',
        'cert list',
        'cert add',
        'cert remove',
        'cost forecast',
        'cost image',
        'cost compare',
        'cost budget',
        'cost simulate',
        'check',
        'gc',
      ]),
    )
  })

  test('names the variable of each setting in its help', () => {
    const serve = kilnCommand().commands.find((command) => command.name() === 'serve')!
    const variables = serve.options.flatMap((option) => option.envVar ?? [])
    expect(variables.sort()).toEqual([
      'KILN_AUTH',
      'KILN_DATABASE_URL',
      'KILN_FREEZE_GUESTS',
      'KILN_HOME',
      'KILN_HOST',
      'KILN_KEY_FILE',
      'KILN_MACHINES',
      'KILN_NETWORK',
      'KILN_PORT',
      'KILN_PRICES',
      'KILN_VOLUME_LIMITS',
    ])
    const help = serve.helpInformation().replace(/\s+/g, ' ')
    for (const variable of variables) expect(help).toContain(`env: ${variable}`)
  })

  test.each([
    ['an unknown command', ['launch'], "unknown command 'launch'"],
    ['an unknown option', ['status', '--nope'], "unknown option '--nope'"],
    ['a port that is none', ['serve', '--port', '65536'], 'A port is a number from 0'],
    ['machines of no kind', ['serve', '--machines', 'docker'], 'Allowed choices are qemu, simulated'],
    ['an account that is none', ['env', '--account', 'me'], 'An account is 12 digits'],
    ['a volume that is none', ['volume', 'show', 'vol-1'], 'A volume is vol- and 17'],
    ['an image that is none', ['image', 'cost', 'ami-1'], 'An image is ami- and 17'],
    ['a snapshot that is none', ['snapshot', 'diff', 'snap-1', 'snap-2'], 'A snapshot is snap- and 17'],
    ['a time that is none', ['gc', '--grace', 'soon'], 'A time is a number with s, m, h or d behind it'],
    ['an alias for an access key', ['key', 'create', '--alias', 'a'], '--alias is for encryption keys'],
    ['a format of no image', ['image', 'import', 'x', '--format', 'iso'], 'Allowed choices are raw, qcow2, vmdk'],
    ['an export of no image', ['image', 'export', 'ami-1', 'x.ova'], 'An image is ami- and 17'],
    ['a key for nobody', ['key', 'create'], "required option '--account <digits>' not specified"],
  ])('ends with 2 on %s, and one line that says why', async (_, args, expected) => {
    const { error, said } = await failureOf(...args)
    expect(exitCodeOf(error)).toBe(2)
    expect(said).toContain(expected)
    expect(said).toMatch(/^kiln: [^\n]*; see 'kiln --help'\n$/)
  })

  test('lets nobody in from outside without checking signatures', async () => {
    const { error } = await failureOf('serve', '--host', '0.0.0.0', '--auth', 'open', '--home', '/nonexistent/kiln')
    expect(exitCodeOf(error)).toBe(2)
    expect(oneLine(error)).toContain('--auth open on 0.0.0.0 would let anybody in: take --auth verify')
  })

  test('builds no image but those that it knows', async () => {
    const { error } = await failureOf('image', 'build', 'debian-13')
    expect(exitCodeOf(error)).toBe(2)
    expect(oneLine(error)).toBe(
      "'debian-13' cannot be built here: debian-12 can; for others see kiln image pull --list",
    )
    expect(oneLine((await failureOf('image', 'build')).error)).toBe('name what to build: debian-12')
  })

  test.each([
    [new Error('x'), 1],
    [new UsageError('x'), 2],
    [new CommanderError(1, 'commander.unknownOption', 'x'), 2],
    [new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)'), 0],
  ])('%s ends with %d', (error, code) => {
    expect(exitCodeOf(error)).toBe(code)
  })

  test('says every failure on one line', () => {
    expect(oneLine(new Error('first\n  second\n'))).toBe('first | second')
  })
})
