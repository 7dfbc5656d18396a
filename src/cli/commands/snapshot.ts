import type { Command } from 'commander'
import { daemonOf } from '../daemon.ts'
import { runJob } from '../jobs.ts'
import { homeOption, jsonOption, readSnapshotId, regionOption } from '../options.ts'
import { counted, facts, print, printJson, size } from '../render.ts'
import { addSnapshotTransfers } from './image-files.ts'

interface DiffFlags {
  home: string
  files?: boolean
  region: string
  json?: boolean
}

interface Difference {
  sizeBytes: { before: number; after: number }
  blocks: { changed: number; added: number; removed: number }
  bytes: number
  leavesRead: number
  fileSystems?: FileSystem[]
}

interface FileSystem {
  partition: number
  kind: { before: string | null; after: string | null }
  label: string | null
  unread: string | null
  counts: { added: number; removed: number; changed: number }
  changes: {
    change: 'added' | 'removed' | 'changed'
    path: string
    kind: string
    sizeBytes: { before: number | null; after: number | null }
    aspects: string[]
  }[]
}

export function addSnapshots(program: Command): void {
  const snapshot = program.command('snapshot').description('snapshots')
  snapshot
    .command('diff')
    .description('the blocks and bytes in which two snapshots of a region differ, and the files')
    .argument('<before>', 'snap-… with 17 digits', readSnapshotId)
    .argument('<after>', 'snap-… with 17 digits', readSnapshotId)
    .option('--files', 'the files that were added, removed and changed, read from ext2, ext3 and ext4 inside')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(diff)
  addSnapshotTransfers(snapshot)
}

async function diff(before: string, after: string, flags: DiffFlags): Promise<void> {
  const wish = new URLSearchParams({ region: flags.region, to: after, ...(flags.files ? { files: 'yes' } : {}) })
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
  for (const fileSystem of found.fileSystems ?? []) printFiles(fileSystem)
}

const signs = { added: '+', removed: '-', changed: '~' } as const

function printFiles({ partition, kind, label, unread, counts, changes }: FileSystem): void {
  const name = partition === 0 ? 'the whole disk' : `partition ${partition}`
  const what = kind.after ?? kind.before
  print(`\n${name}: ${what}${label ? ` '${visible(label)}'` : ''}${unread ? `, not read: ${unread}` : ''}`)
  if (unread) return
  for (const { change, path, kind: fileKind, sizeBytes, aspects } of changes) {
    const bytes = change === 'removed' ? sizeBytes.before : sizeBytes.after
    const more = fileKind === 'file' ? size(bytes ?? 0) : fileKind
    print(`${signs[change]} ${visible(path)}  ${[more, ...aspects].join(', ')}`)
  }
  const total = counts.added + counts.removed + counts.changed
  if (total > changes.length) print(`… and ${total - changes.length} more`)
  print(`${counts.added} added, ${counts.removed} removed, ${counts.changed} changed`)
}

/** Names are whatever a guest has written: nothing of them may move the cursor or look like another line. */
const visible = (text: string) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`)
