import type { Command } from 'commander'
import { daemonOf } from '../daemon.ts'
import { runJob } from '../jobs.ts'
import { homeOption, jsonOption, readSnapshotId, regionOption } from '../options.ts'
import { counted, facts, print, printJson, size } from '../render.ts'
import { addSnapshotTransfers } from './image-files.ts'

interface DiffFlags {
  home: string
  region: string
  json?: boolean
}

interface Difference {
  sizeBytes: { before: number; after: number }
  blocks: { changed: number; added: number; removed: number }
  bytes: number
  leavesRead: number
}

export function addSnapshots(program: Command): void {
  const snapshot = program.command('snapshot').description('snapshots')
  snapshot
    .command('diff')
    .description('the blocks and bytes in which two snapshots of a region differ')
    .argument('<before>', 'snap-… with 17 digits', readSnapshotId)
    .argument('<after>', 'snap-… with 17 digits', readSnapshotId)
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(diff)
  addSnapshotTransfers(snapshot)
}

async function diff(before: string, after: string, flags: DiffFlags): Promise<void> {
  const wish = new URLSearchParams({ region: flags.region, to: after })
  const path = `/_kiln/snapshots/${before}/difference?${wish}`
  const found = await runJob<Difference>(await daemonOf(flags.home), path, 'comparing')
  if (flags.json) return printJson({ before, after, region: flags.region, ...found })
  const { sizeBytes, blocks, bytes } = found
  const total = blocks.changed + blocks.added + blocks.removed
  print(
    facts([
      ['before', `${before}, ${size(sizeBytes.before)}`],
      ['after', `${after}, ${size(sizeBytes.after)}`],
      ['differ in', total === 0 ? 'nothing' : `${counted(total, 'block')}, ${size(bytes)}`],
      ['changed', counted(blocks.changed, 'block')],
      ['came', `${counted(blocks.added, 'block')} where there were zeros`],
      ['went', `${counted(blocks.removed, 'block')} that are zeros now`],
    ]),
  )
}
