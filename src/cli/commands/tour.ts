import { styleText } from 'node:util'
import { Argument, type Command } from 'commander'
import { defaultHome, homeAt } from '../../lib/home.ts'
import { oneLine } from '../failure.ts'
import { type NetworkKind, networkOption } from '../options.ts'
import { duration, print, typedName } from '../render.ts'
import { onStopSignals } from '../stop-signals.ts'
import type { Tour } from '../tour/tour.ts'
import type { Walk } from '../tour/walk.ts'

interface TourFlags {
  keep?: boolean
  network?: NetworkKind
}

const walkNames = ['instance-store'] as const

export function addTour(program: Command): void {
  program
    .command('tour')
    .description('walk the whole life of an image on real machines, in a throw-away home; some minutes')
    .addArgument(
      new Argument('[walk]', 'instance-store: roots out of bundles, compared with EBS-backed ones').choices(walkNames),
    )
    .option('--keep', 'leave the home as it is at the end, or where a step failed')
    .addOption(networkOption())
    .action(tour)
}

async function tour(name: (typeof walkNames)[number] | undefined, flags: TourFlags): Promise<void> {
  if (name === 'instance-store') return go((await import('../tour/instance-store.ts')).instanceStore, flags)
  return go((await import('../tour/steps.ts')).lifeOfAnImage, flags)
}

async function go<Seen>(walk: Walk<Seen>, flags: TourFlags): Promise<void> {
  const startedAtMs = performance.now()
  const interrupt = interruption()
  const { Tour } = await import('../tour/tour.ts')
  const { cacheDir } = homeAt(defaultHome())
  const show = (line: string) => print(`     ${styleText('cyan', `$ ${line}`)}`)
  const stage = await Tour.create({ cacheDir, network: flags.network, signal: interrupt, show })
  print(`${walk.heading}, in ${stage.home.root}`)
  print('Each step shows what to type for the same; the lines hold while the tour lasts, and after it with --keep.')
  let succeeded = false
  try {
    succeeded = await walkOn(stage, walk)
  } finally {
    if (flags.keep)
      print(`\nKept: ${stage.home.root}; to remove it: ${typedName} down --all --home ${stage.home.root}, rm -r`)
    else await stage.cleanUp()
  }
  const took = duration(performance.now() - startedAtMs)
  if (!succeeded) process.exitCode = 1
  print(
    succeeded
      ? `\n${styleText('green', '✓')} All ${walk.steps.length} steps in ${took}.`
      : `\n${styleText('red', '✗')} Ended after ${took}.`,
  )
}

/** Whether all steps did what they say. The first that does not ends the walk. */
async function walkOn<Seen>(stage: Tour, { steps, conclusion }: Walk<Seen>): Promise<boolean> {
  const seen = {} as Seen
  for (const [index, step] of steps.entries()) {
    print(`\n${styleText('bold', `${String(index + 1).padStart(2)}  ${step.title}`)}`)
    const startedAtMs = performance.now()
    try {
      stage.signal.throwIfAborted()
      const outcome = await step.run(stage, seen)
      print(`    ${styleText('green', '✓')} ${outcome} ${styleText('dim', duration(performance.now() - startedAtMs))}`)
    } catch (error) {
      print(
        `    ${styleText('red', '✗')} ${oneLine(error)} ${styleText('dim', duration(performance.now() - startedAtMs))}`,
      )
      const where = stage.signal.aborted ? '; cleaning up' : ` failed; its logs are in ${await stage.saveLogs()}`
      process.stderr.write(`kiln: step ${index + 1} of the tour${where}\n`)
      return false
    }
  }
  if (conclusion) print(`\n${conclusion(seen)}`)
  return true
}

/** Ctrl-C ends the walk, and the home is still cleaned up; a second one does not wait for that. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  const leave = () => {
    const howToEnd = `${typedName} down --all --home HOME ends what runs in the home named above`
    process.stderr.write(`kiln: left as it is; ${howToEnd}\n`)
    process.exit(1)
  }
  onStopSignals(() => controller.abort(new Error('interrupted')), leave)
  return controller.signal
}
