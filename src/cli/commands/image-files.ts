/** Images and snapshots from files of this host, and into files: sent to the daemon and fetched from it piece by piece. */
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { flush } from '../../lib/stable-storage.ts'
import type { DaemonPage } from '../../server.ts'
import { control, controlBytes, daemonOf } from '../daemon.ts'
import { UsageError } from '../failure.ts'
import { followTask, sendFile, type Task } from '../file-transfers.ts'
import { showLine } from '../jobs.ts'
import { accountOption, homeOption, jsonOption, readImageId, regionOption } from '../options.ts'
import { print, printJson, size } from '../render.ts'
import { onStopSignals } from '../stop-signals.ts'

const formats = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'ova']

interface ImportFlags {
  home: string
  region: string
  account: string
  format?: string
  name?: string
  description?: string
  wait?: boolean
  json?: boolean
}

interface ExportFlags {
  home: string
  region: string
  account: string
  format?: string
  force?: boolean
  json?: boolean
}

const formatOption = (what: string) => new Option('--format <format>', what).choices(formats)

export function addImageTransfers(image: Command): void {
  image
    .command('import')
    .description('make an image of a disk, or of a whole machine, in a file: raw, qcow2, VMDK, VHD, VHDX, OVA')
    .argument('<file>')
    .option('--name <name>', "what the image is called (default: the task's id)")
    .option('--description <text>', 'what the image is')
    .addOption(formatOption('what the file must be (default: what it is)'))
    .option('--wait', 'wait until the image is there')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action((file: string, flags: ImportFlags) => importFile(file, 'image', flags))
  image
    .command('export')
    .description('write an image into a file that other systems boot')
    .argument('<image>', 'ami-… with 17 digits', readImageId)
    .argument('<file>')
    .addOption(formatOption("the format of the file (default: as the file's name ends)"))
    .option('--force', 'replace the file if it is there')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(exportImage)
}

export function addSnapshotTransfers(snapshot: Command): void {
  snapshot
    .command('import')
    .description('make a snapshot of a disk in a file: raw, qcow2, VMDK, VHD, VHDX')
    .argument('<file>')
    .option('--description <text>', 'what the snapshot is')
    .addOption(formatOption('what the file must be (default: what it is)'))
    .option('--wait', 'wait until the snapshot is there')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action((file: string, flags: ImportFlags) => importFile(file, 'snapshot', flags))
}

async function importFile(file: string, as: 'image' | 'snapshot', flags: ImportFlags): Promise<void> {
  const page = await daemonOf(flags.home)
  const uploadId = await sendFile(page, file)
  const wish = new URLSearchParams({ as, region: flags.region, account: flags.account })
  for (const name of ['format', 'name', 'description'] as const) if (flags[name]) wish.set(name, flags[name])
  const task = await control<Task>(page, `/_kiln/uploads/${uploadId}/import?${wish}`, 'POST').catch(async (error) => {
    await control(page, `/_kiln/uploads/${uploadId}`, 'DELETE').catch(() => {})
    throw error
  })
  if (!flags.wait) {
    if (flags.json) return printJson(task)
    const verb = as === 'image' ? 'describe-import-image-tasks' : 'describe-import-snapshot-tasks'
    print(`${task.id} is under way; follow it with: aws ec2 ${verb} --import-task-ids ${task.id}`)
    return
  }
  const done = await followTask(page, task, `importing ${basename(file)}`)
  if (flags.json) return printJson(done)
  const made = as === 'image' ? done.imageId : done.disks[0]!.snapshotId
  print(`${made}: ${basename(file)}, ${done.disks.map((disk) => disk.format?.toUpperCase()).join(', ')}`)
}

async function exportImage(imageId: string, file: string, flags: ExportFlags): Promise<void> {
  const format = flags.format ?? formatOf(file)
  const path = resolve(file)
  if (!flags.force && (await stat(path).catch(() => undefined))) {
    throw new UsageError(`${file} is there already: choose another name, or --force to replace it`)
  }
  const page = await daemonOf(flags.home)
  const wish = new URLSearchParams({ region: flags.region, account: flags.account, format })
  const task = await control<Task>(page, `/_kiln/images/${imageId}/export?${wish}`, 'POST')
  const done = await followTask(page, task, `writing ${imageId} as ${format.toUpperCase()}`)
  const filePath = `/_kiln/transfers/${done.id}/file`
  const part = `${path}.part-${process.pid}`
  const stop = new AbortController()
  onStopSignals(
    () => stop.abort(new Error('it was stopped')),
    () => process.exit(1),
  )
  try {
    const bytes = await fetchInto(page, filePath, part, stop.signal)
    await flush(part)
    await rename(part, path)
    if (flags.json) return printJson({ imageId, file: path, format, bytes, taskId: done.id })
    print(`${file}: ${imageId} as ${format.toUpperCase()}, ${size(bytes)}`)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  } finally {
    await control(page, filePath, 'DELETE').catch(() => {})
  }
}

/** Writes what is fetched, and leaves holes for zeros. The length of the file. */
async function fetchInto(page: DaemonPage, from: string, path: string, signal: AbortSignal): Promise<number> {
  const target = await open(path, 'wx', 0o600)
  try {
    let at = 0
    for (;;) {
      signal.throwIfAborted()
      const piece = await controlBytes(page, `${from}?offset=${at}`, 'GET')
      if (piece.length === 0) break
      if (piece.some((byte) => byte !== 0)) await target.write(piece, 0, piece.length, at)
      at += piece.length
      showLine(`fetching … ${size(at)}`)
    }
    await target.truncate(at)
    return at
  } finally {
    showLine('')
    await target.close()
  }
}

function formatOf(file: string): string {
  const ending = /\.([a-z0-9]+)$/i.exec(basename(file))?.[1]?.toLowerCase() ?? ''
  const format = ending === 'img' ? 'raw' : ending
  if (formats.includes(format)) return format
  throw new UsageError(`${file} does not say what to write: name a --format, one of ${formats.join(', ')}`)
}
