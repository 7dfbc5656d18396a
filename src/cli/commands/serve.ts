import { type Command, Option } from 'commander'
import { type Home, homeAt } from '../../lib/home.ts'
import type { Kiln } from '../../server.ts'
import { oneLine, UsageError } from '../failure.ts'
import { readHomeSettings, settle, writeHomeSettings } from '../home-settings.ts'
import {
  type AuthMode,
  databaseOption,
  type FreezeGuests,
  freezeGuestsOption,
  homeOption,
  homeWithoutVariable,
  keyFileOption,
  type MachinesKind,
  machinesOption,
  type NetworkKind,
  networkOption,
  pricesOption,
  readPort,
  type VolumeLimits,
  volumeLimitsOption,
} from '../options.ts'
import { readPriceFile } from '../price-files.ts'
import { print, typedName } from '../render.ts'
import { onStopSignals } from '../stop-signals.ts'

interface ServeFlags {
  home: string
  host: string
  port: number
  machines?: MachinesKind
  network?: NetworkKind
  auth: AuthMode
  databaseUrl?: string
  volumeLimits: VolumeLimits
  keyFile?: string
  freezeGuests: FreezeGuests
  prices?: string
}

const closeWithinMs = 20_000

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('serve the API until it is stopped; instances outlive it')
    .addOption(homeOption())
    .addOption(new Option('--host <address>', 'where to listen').env('KILN_HOST').default('127.0.0.1'))
    .addOption(
      new Option('--port <number>', 'where to listen; 0 takes a free one')
        .env('KILN_PORT')
        .default(4566)
        .argParser(readPort),
    )
    .addOption(machinesOption())
    .addOption(networkOption())
    .addOption(
      new Option('--auth <mode>', 'accept every access key, or check signatures against keys of kiln key create')
        .env('KILN_AUTH')
        .choices(['open', 'verify'] satisfies AuthMode[])
        .default('open'),
    )
    .addOption(databaseOption())
    .addOption(volumeLimitsOption())
    .addOption(keyFileOption())
    .addOption(freezeGuestsOption())
    .addOption(pricesOption())
    .addHelpText(
      'after',
      '\nKILN_LOG sets how much is logged on standard error: debug, info, warn (the default), error.',
    )
    .action(serve)
}

async function serve(flags: ServeFlags): Promise<void> {
  if (flags.auth === 'open' && !isLoopback(flags.host)) {
    throw new UsageError(
      `--auth open on ${flags.host} would let anybody in: take --auth verify, or a loopback address such as 127.0.0.1`,
    )
  }
  const home = homeAt(flags.home)
  const settings = settle(home, await readHomeSettings(home), flags)
  const prices = settings.prices === undefined ? undefined : await readPriceFile(settings.prices)
  let serving: Kiln | undefined
  onStopSignals(
    // Before there is anything to close, ending is enough.
    () => (serving ? void close(serving) : process.exit(0)),
    () => process.exit(1),
  )
  const [{ openKiln }, { createLog }] = await Promise.all([import('../../server.ts'), import('../../lib/log.ts')])
  const log = createLog()
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'Kiln ends because of a fault of its own; instances go on')
    process.exit(1)
  })

  const kiln = await openKiln({
    ...{ ...settings, home: home.root, databaseUrl: flags.databaseUrl, volumeLimits: flags.volumeLimits },
    ...{ keyFile: flags.keyFile, freezeGuests: flags.freezeGuests, prices, log },
    onProgress: (step) => process.stderr.write(`kiln: ${step} …\n`),
  })
  try {
    await writeHomeSettings(home, settings)
    const url = await kiln.serve(flags)
    serving = kiln
    print(`kiln ready ${url}`)
    print(whatNext(flags, home))
  } catch (error) {
    await kiln.close()
    throw explainListenFailure(error, flags)
  }
}

/** What to type in another terminal, which does not know of this one's variables. */
function whatNext({ auth }: ServeFlags, home: Home): string {
  const flag = home.root === homeWithoutVariable() ? '' : ` --home ${home.root}`
  const commands = [`eval "$(${typedName} env${flag})"`, 'aws ec2 describe-images --owners amazon']
  if (auth === 'verify') commands.unshift(`eval "$(${typedName} key create --account 123456789012${flag})"`)
  return ['In another terminal:', ...commands.map((line) => `  ${line}`), `Or see it all: ${typedName} tour`].join('\n')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function explainListenFailure(error: unknown, { host, port }: ServeFlags): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') {
    return new Error(`port ${port} of ${host} is taken: choose another with --port (0 takes any free one)`)
  }
  if (code === 'EACCES') return new Error(`this user may not listen on port ${port}: choose one above 1023 with --port`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new Error(`this host has no address ${host}: choose another --host`)
  }
  return error
}

/** Lets go of everything and ends with 0, or with 1 when that fails or takes too long. */
async function close(kiln: Kiln): Promise<void> {
  process.stderr.write('kiln: stopping; instances go on (a second signal ends at once)\n')
  const overdue = `kiln: not closed after ${closeWithinMs / 1000} s, ends anyway; the next start mends what is left\n`
  setTimeout(() => {
    process.stderr.write(overdue)
    process.exit(1)
  }, closeWithinMs).unref()
  try {
    await kiln.close()
    process.exit(0)
  } catch (error) {
    process.stderr.write(`kiln: closing failed: ${oneLine(error)}\n`)
    process.exit(1)
  }
}
