/**
 * The `kiln` command. Each file of `commands/` adds one command or group; what is heavy (the server, the EC2 codec) is
 * loaded by the command that needs it, so that the others answer at once.
 *
 * Ends with 0 when it did what was asked, 1 when it could not, 2 when it was asked wrongly.
 */
import { Command, CommanderError } from 'commander'
import { version } from '../lib/version.ts'
import { addBundles } from './commands/bundle.ts'
import { addCertificates } from './commands/cert.ts'
import { addCheck } from './commands/check.ts'
import { addCosts } from './commands/cost.ts'
import { addDoctor } from './commands/doctor.ts'
import { addDown } from './commands/down.ts'
import { addEnv } from './commands/env.ts'
import { addGc } from './commands/gc.ts'
import { addImages } from './commands/image.ts'
import { addInstances } from './commands/instance.ts'
import { addKeys } from './commands/key.ts'
import { addServe } from './commands/serve.ts'
import { addSnapshots } from './commands/snapshot.ts'
import { addStatus } from './commands/status.ts'
import { addTour } from './commands/tour.ts'
import { addVolumes } from './commands/volume.ts'
import { exitCodeOf, oneLine } from './failure.ts'

/** The whole command, not yet run. */
export function kilnCommand(): Command {
  const program = new Command('kiln')
    .description('A machine-image cloud that you run yourself: the EC2 API, on real virtual machines.')
    .version(version, '-V, --version')
    .helpOption('-h, --help', 'what can be typed')
    .helpCommand(false)
    // A group may have options of its own: those after the name of one of its commands are that command's.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(`kiln: ${oneLine(text.replace(/^error: /, ''))}; see 'kiln --help'\n`),
    })
    .addHelpText('after', '\nOptions can also be given as the KILN_* variables that the commands name in their --help.')
  for (const add of [addServe, addDown, addStatus, addEnv, addDoctor, addTour]) add(program)
  for (const add of [
    addImages,
    addInstances,
    addVolumes,
    addSnapshots,
    addKeys,
    addBundles,
    addCertificates,
    addCosts,
    addCheck,
    addGc,
  ])
    add(program)
  return program
}

if (import.meta.main) {
  // What a home holds (state with its keys, disks, consoles, sockets) is its owner's alone, also where the folder was
  // there before and others may look into it. Every program that is started from here inherits this.
  process.umask(0o077)
  // Whoever reads us may stop reading (`kiln … | head`): that is no fault, and a server goes on.
  process.stdout.on('error', () => {})
  try {
    await kilnCommand().parseAsync()
  } catch (error) {
    if (!(error instanceof CommanderError)) process.stderr.write(`kiln: ${oneLine(error)}\n`)
    // Not only the exit code: what a failed command has opened must not keep it alive.
    process.exit(exitCodeOf(error))
  }
}
