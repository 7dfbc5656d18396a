import { type Command, Option } from 'commander'
import { daemonOf } from '../daemon.ts'
import { runJob } from '../jobs.ts'
import { homeOption, jsonOption, onlyRegionOption, readSeconds } from '../options.ts'
import { print, printJson, size, table } from '../render.ts'

interface GcFlags {
  home: string
  region?: string
  grace?: number
  json?: boolean
}

interface RegionCollected {
  region: string
  roots: number
  leaves: number
  blocks: number
  otherFiles: number
  bytesFreed: number
  stopped: { reason: 'busy' | 'damaged' | 'foreign' | 'aborted'; message: string } | null
}

export function addGc(program: Command): void {
  program
    .command('gc')
    .description(
      'remove blocks that no snapshot, volume or running operation needs; the daemon does so itself now and then',
    )
    .addOption(homeOption())
    .addOption(onlyRegionOption())
    .addOption(
      new Option(
        '--grace <time>',
        'leave what was stored within that time, as 30m; 0 leaves nothing (default: 1h)',
      ).argParser(readSeconds),
    )
    .addOption(jsonOption())
    .action(collect)
}

async function collect(flags: GcFlags): Promise<void> {
  const wish = new URLSearchParams()
  if (flags.region !== undefined) wish.set('region', flags.region)
  if (flags.grace !== undefined) wish.set('grace', String(flags.grace))
  const page = await daemonOf(flags.home)
  const regions = await runJob<RegionCollected[]>(page, `/_kiln/stores/collect?${wish}`, 'collecting')
  if (flags.json) printJson(regions)
  else show(regions)
  const [stopped] = regions.filter((one) => one.stopped)
  if (stopped) throw new Error(`${stopped.region} was not collected to the end: ${advice(stopped)}`)
}

function show(regions: readonly RegionCollected[]): void {
  const rows = regions.map((one) => [
    one.region,
    one.roots,
    one.leaves,
    one.blocks,
    one.otherFiles,
    size(one.bytesFreed),
  ])
  print(
    table(
      ['region', 'snapshots', 'leaves', 'blocks', 'other files', 'freed'],
      rows,
      'No region has a block store yet.',
    ),
  )
  const bytes = regions.reduce((sum, one) => sum + one.bytesFreed, 0)
  if (regions.length > 0) print(`Freed ${size(bytes)} (${bytes} bytes).`)
}

function advice({ stopped }: RegionCollected): string {
  const { reason, message } = stopped!
  return reason === 'damaged' ? `${message}; 'kiln check' says what it touches` : message
}
