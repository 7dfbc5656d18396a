import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { type Home, homeAt } from '../../lib/home.ts'
import { isAlive, signalProcess } from '../../lib/programs.ts'
import { findDaemon } from '../daemon.ts'
import { readHomeSettings, settle, type WishedSettings } from '../home-settings.ts'
import { describePresence, presenceOf } from '../leftovers.ts'
import { databaseOption, homeOption, keyFileOption, machinesOption, networkOption } from '../options.ts'
import { print } from '../render.ts'

interface DownFlags extends WishedSettings {
  home: string
  all?: boolean
  keyFile?: string
}

const goneWithinMs = 30_000

export function addDown(program: Command): void {
  program
    .command('down')
    .description('stop the daemon; with --all the instances too, so that nothing of the home is left running')
    .addOption(homeOption())
    .option(
      '--all',
      'switch all instances off as well; they can be started again, but for those with a root in the instance store: these are terminated',
    )
    .addOption(machinesOption())
    .addOption(networkOption())
    .addOption(databaseOption())
    .addOption(keyFileOption())
    .action(down)
}

async function down(flags: DownFlags): Promise<void> {
  const home = homeAt(flags.home)
  await stopDaemon(home)
  if (!flags.all) return
  const recorded = await readHomeSettings(home)
  if (!recorded && !existsSync(home.databasePath)) {
    print(`the home ${home.root} was never served: there is nothing to switch off`)
    return
  }
  await switchOff(home, flags)
}

async function stopDaemon(home: Home): Promise<void> {
  const daemon = await findDaemon(home)
  if (!daemon) return print(`no Kiln serves the home ${home.root}`)
  signalProcess(daemon, 'SIGTERM')
  const isGone = () => (isAlive(daemon) ? undefined : true)
  if (!(await waitFor(systemClock, isGone, { everyMs: 50, timeoutMs: goneWithinMs }))) {
    throw new Error(
      `process ${daemon.pid} was asked to end and has not after ${goneWithinMs / 1000} s: type kill -9 ${daemon.pid}; nothing is lost by it`,
    )
  }
  print(`stopped the Kiln at ${daemon.url}`)
}

async function switchOff(home: Home, flags: DownFlags): Promise<void> {
  const settings = settle(home, await readHomeSettings(home), flags)
  const [{ openKiln }, { createLog }] = await Promise.all([import('../../server.ts'), import('../../lib/log.ts')])
  const kiln = await openKiln({
    // Prices are not needed to switch off, and their file may be gone.
    ...{ ...settings, prices: undefined, judgesBudgets: false, home: home.root, databaseUrl: flags.databaseUrl },
    ...{ keyFile: flags.keyFile, log: createLog() },
    onProgress: (step) => process.stderr.write(`kiln: ${step} …\n`),
  })
  await kiln.shutDown((instanceId) => print(`${instanceId} is off`))
  // A mount is its user's: the home may lie on a disk of its own, or its stores.
  const left = describePresence({ ...presenceOf(home), mounts: [] })
  if (left) throw new Error(`something of the home ${home.root} is left: ${left}; type kiln down --all once more`)
  print(`nothing of the home ${home.root} runs any more`)
}
