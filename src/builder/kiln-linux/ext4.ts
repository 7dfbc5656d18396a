/**
 * An ext4 file system made and filled by mke2fs and debugfs on a plain file. Neither asks who we are: owners, setuid
 * bits and dates come out the same for root and for anybody else, without user namespaces.
 */
import { randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { run } from '../../lib/programs.ts'
import { hostEnvironment } from './host-environment.ts'
import type { TreeEntry } from './root-tree.ts'

const blockBytes = 4096

export interface Ext4Request {
  /** The file, at least `offsetBytes + sizeBytes` long and all zeros there. */
  imagePath: string
  offsetBytes: number
  sizeBytes: number
  label: string
  uuid: string
  /** Sorted, parents first. */
  entries: readonly TreeEntry[]
}

export async function writeExt4(request: Ext4Request): Promise<void> {
  // Every date in the file system; debugfs and mke2fs honour it.
  const env = { ...hostEnvironment, E2FSPROGS_FAKE_TIME: '1700000000' }
  const blocks = Math.floor(request.sizeBytes / blockBytes)
  // Inode tables and journal are zeros, which a sparse file holds for nothing: no kernel thread has to write them later.
  const features = `offset=${request.offsetBytes},hash_seed=${request.uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard`
  await run(
    'mke2fs',
    [
      ...['-q', '-F', '-t', 'ext4', '-b', String(blockBytes), '-J', 'size=16', '-m', '1'],
      ...['-L', request.label, '-U', request.uuid, '-E', features],
      ...[request.imagePath, String(blocks)],
    ],
    { env },
  )

  const device = `${request.imagePath}?offset=${request.offsetBytes}`
  const script = `${request.imagePath}.${randomUUID()}.debugfs`
  try {
    await writeFile(script, debugfsScript(request.entries))
    await run('debugfs', ['-w', '-f', script, device], { env })
  } finally {
    await rm(script, { force: true })
  }
  await check(device, request.entries.length, env)
}

/** debugfs reads one command a line. Names are ours or Debian's; what could break a line is refused, not escaped. */
function debugfsScript(entries: readonly TreeEntry[]): string {
  const lines: string[] = []
  let current = ''
  for (const entry of entries) {
    const parent = `/${dirname(entry.path)}`.replace('/.', '/')
    if (parent !== current) lines.push(`cd ${word(parent)}`)
    current = parent
    const name = word(basename(entry.path))
    switch (entry.kind) {
      case 'directory':
        lines.push(`mkdir ${name}`, `sif ${name} mode 0${(0o040000 | entry.mode).toString(8)}`)
        break
      case 'file':
        lines.push(`write ${word(entry.source)} ${name}`, `sif ${name} mode 0${(0o100000 | entry.mode).toString(8)}`)
        break
      case 'link':
        lines.push(`symlink ${name} ${word(entry.target)}`)
        break
    }
  }
  return `${lines.join('\n')}\n`
}

function word(text: string): string {
  if (/["\n]/.test(text)) throw new Error(`a path for debugfs may hold neither quotes nor line ends: ${text}`)
  return `"${text}"`
}

/** debugfs ends with 0 even when a command failed: count what is there, and have the whole checked. */
async function check(device: string, expected: number, env: NodeJS.ProcessEnv): Promise<void> {
  const header = await run('dumpe2fs', ['-h', device], { env })
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(header)?.[1])
  // Inodes below the first free one are the file system's own; lost+found is the first after them.
  const found = field('Inode count') - field('Free inodes') - (field('First inode') - 1) - 1
  if (found !== expected) throw new Error(`the root file system holds ${found} entries instead of ${expected}`)
  await run('e2fsck', ['-f', '-n', device], { env })
}
