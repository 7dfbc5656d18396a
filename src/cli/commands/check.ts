import type { Command } from 'commander'
import { type Home, homeAt } from '../../lib/home.ts'
import type { DaemonPage } from '../../server.ts'
import { findDaemon } from '../daemon.ts'
import { readHomeSettings, settle } from '../home-settings.ts'
import { runHere, runJob } from '../jobs.ts'
import { databaseOption, homeOption, jsonOption, onlyRegionOption } from '../options.ts'
import { counted, print, printJson, size, table } from '../render.ts'

interface CheckFlags {
  home: string
  region?: string
  repair?: boolean
  databaseUrl?: string
  json?: boolean
}

interface Flaw {
  kind: 'block' | 'leaf' | 'root'
  hash: string
  problem: 'missing' | 'damaged'
  detail: string
  repairedFrom: string | null
  snapshots: string[]
  images: string[]
  volumes: string[]
}

interface RegionChecked {
  region: string
  objects: number
  bytes: number
  flaws: Flaw[]
}

export function addCheck(program: Command): void {
  program
    .command('check')
    .description(
      'read every block that anything needs and compare it with its name; ends with 1 when something is wrong',
    )
    .addOption(homeOption())
    .addOption(onlyRegionOption())
    .option('--repair', 'take what is damaged out of service, and restore it from another region that has it intact')
    .addOption(databaseOption())
    .addOption(jsonOption())
    .action(check)
}

async function check(flags: CheckFlags): Promise<void> {
  const home = homeAt(flags.home)
  const page = await findDaemon(home)
  const regions = page ? await checkThere(page, flags) : await checkHere(home, flags)
  if (flags.json) printJson(regions)
  else show(regions)
  const lost = regions.flatMap((one) => one.flaws.filter((flaw) => flaw.repairedFrom === null))
  if (lost.length > 0) throw new Error(advice(lost, flags.repair ?? false))
}

async function checkThere(page: DaemonPage, flags: CheckFlags): Promise<RegionChecked[]> {
  const wish = new URLSearchParams()
  if (flags.region !== undefined) wish.set('region', flags.region)
  if (flags.repair) wish.set('repair', 'yes')
  return await runJob<RegionChecked[]>(page, `/_kiln/stores/check?${wish}`, 'checking')
}

/** Nobody serves the home, so its stores are opened by this process. */
async function checkHere(home: Home, flags: CheckFlags): Promise<RegionChecked[]> {
  const recorded = await readHomeSettings(home)
  if (!recorded) throw new Error(`the home ${home.root} was never served: there is nothing to check`)
  settle(home, recorded, { databaseUrl: flags.databaseUrl })
  const [{ checkStores }, { createLog }] = await Promise.all([import('../../server.ts'), import('../../lib/log.ts')])
  const options = { home: home.root, databaseUrl: flags.databaseUrl, log: createLog('fatal') }
  const request = { region: flags.region, repair: flags.repair ?? false }
  return await runHere((progress) => checkStores(options, request, progress), 'checking')
}

function show(regions: readonly RegionChecked[]): void {
  const rows = regions.map(({ region, objects, bytes, flaws }) => [
    region,
    objects,
    size(bytes),
    flaws.length || 'none',
  ])
  print(table(['region', 'objects', 'content', 'wrong'], rows, 'No region has a block store yet.'))
  for (const { region, flaws } of regions)
    for (const flaw of flaws) {
      print('')
      print(`${flaw.kind} ${flaw.hash} is ${flaw.problem} in ${region}`)
      print(`  ${flaw.repairedFrom ? `restored from ${flaw.repairedFrom}` : flaw.detail}`)
      const touched = [...flaw.images, ...flaw.snapshots, ...flaw.volumes]
      print(`  touches ${touched.join(', ') || 'nothing that has a name: an upload or a public image'}`)
    }
}

/** What is lost, in one line. */
function advice(lost: readonly Flaw[], wasRepaired: boolean): string {
  const snapshots = [...new Set(lost.flatMap((flaw) => flaw.snapshots))]
  const objects = `${counted(lost.length, 'object')} ${lost.length === 1 ? 'is' : 'are'} damaged or missing`
  if (!wasRepaired) return `${objects}: 'kiln check --repair' restores what another region has intact`
  const these = snapshots.length === 0 ? '' : `; these snapshots cannot be whole any more: ${snapshots.join(', ')}`
  return `${objects}, and no other region has them intact${these}`
}
