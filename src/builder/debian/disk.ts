/**
 * The disk: a GUID partition table, GRUB, and the root's file system, written into a plain file. Nothing is mounted, so no
 * privileges are needed but those of a user namespace, in which the files of the root belong to whom they shall.
 */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../lib/programs.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'
import { ext4Features, layout, sectorBytes } from './recipe.ts'
import type { RootPrivileges } from './root-privileges.ts'

const blockBytes = 4096
const timeoutMs = 15 * 60_000

/** Creates the raw disk at `path` from the root that lies in `rootDir`. */
export async function createDisk(
  path: string,
  rootDir: string,
  privileges: RootPrivileges,
  signal?: AbortSignal,
): Promise<void> {
  await using disk = await open(path, 'wx')
  await disk.truncate(layout.diskBytes)
  await run('sfdisk', ['--quiet', '--no-tell-kernel', path], { env: hostEnvironment, input: partitionTable() })
  const grubDir = join(rootDir, 'boot/grub/i386-pc')
  const grub = placedGrub(await readFile(join(grubDir, 'boot.img')), await readFile(join(grubDir, 'core.img')))
  await disk.write(grub.bootCode, 0, grub.bootCode.length, 0)
  await disk.write(grub.core, 0, grub.core.length, layout.grub.startBytes)
  await writeRoot(path, rootDir, privileges, signal)
}

/** What sfdisk reads. */
export function partitionTable(): string {
  const partition = ({ number, startBytes, sizeBytes, type }: typeof layout.grub | typeof layout.root) =>
    `${number} : start=${startBytes / sectorBytes}, size=${sizeBytes / sectorBytes}, type=${type}`
  return [
    'label: gpt',
    `label-id: ${layout.diskGuid}`,
    'unit: sectors',
    partition(layout.root),
    partition(layout.grub),
    '',
  ].join('\n')
}

/** What fits before the table of an MBR. */
const bootCodeBytes = 440
/** Where boot.img says in which sector the core begins, and the core's first sector where the rest of it lies. */
const coreSectorAt = 0x5c
const restSectorAt = 0x1f4

/**
 * The two parts that know where the other lies, as grub-bios-setup would place them.
 * Source: GRUB's boot.S and diskboot.S ("kernel_sector", "blocklist_default_start").
 */
export function placedGrub(bootImage: Buffer, coreImage: Buffer): { bootCode: Buffer; core: Buffer } {
  if (coreImage.length > layout.grub.sizeBytes) throw new Error(`GRUB's core of ${coreImage.length} bytes has no room`)
  const sector = BigInt(layout.grub.startBytes / sectorBytes)
  const bootCode = Buffer.from(bootImage.subarray(0, bootCodeBytes))
  bootCode.writeBigUInt64LE(sector, coreSectorAt)
  const core = Buffer.from(coreImage)
  core.writeBigUInt64LE(sector + 1n, restSectorAt)
  return { bootCode, core }
}

async function writeRoot(
  path: string,
  rootDir: string,
  privileges: RootPrivileges,
  signal?: AbortSignal,
): Promise<void> {
  const { startBytes, sizeBytes } = layout.root
  // Inode tables and journal are zeros, which a sparse file holds for nothing: no kernel thread has to write them later.
  const extended = `offset=${startBytes},hash_seed=${layout.rootUuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard`
  const [program, ...words] = privileges.command('mke2fs', [
    ...['-q', '-F', '-t', 'ext4', '-b', String(blockBytes), '-O', `none,${ext4Features.join(',')}`, '-m', '1'],
    ...['-L', 'root', '-U', layout.rootUuid, '-E', extended, '-d', rootDir, path, String(sizeBytes / blockBytes)],
  ])
  await run(program, words, { env: hostEnvironment, timeoutMs, signal })
  await run('e2fsck', ['-f', '-n', `${path}?offset=${startBytes}`], { env: hostEnvironment, timeoutMs, signal })
}
