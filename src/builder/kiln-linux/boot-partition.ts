/** The first partition: FAT16 with SYSLINUX, the kernel and the initrd, made with mtools on a plain file. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../../lib/programs.ts'
import { type CpioEntry, cpioArchive } from './cpio-archive.ts'
import { hostEnvironment } from './host-environment.ts'
import { initrdModules, kernelCommandLine, layout } from './recipe.ts'

/** mtools' dates, so that equal inputs give equal bytes. */
const env = { ...hostEnvironment, SOURCE_DATE_EPOCH: '1700000000', MTOOLS_SKIP_CHECK: '1' }

/** Writes the partition as a file of `layout.bootSizeBytes`. */
export async function writeBootPartition(
  path: string,
  parts: { kernelPath: string; initrd: Buffer; workDir: string },
): Promise<void> {
  const initrdPath = join(parts.workDir, 'initrd')
  const configPath = join(parts.workDir, 'syslinux.cfg')
  await writeFile(initrdPath, parts.initrd)
  await writeFile(
    configPath,
    `DEFAULT kiln\nPROMPT 0\nLABEL kiln\n  LINUX vmlinuz\n  INITRD initrd\n  APPEND ${kernelCommandLine}\n`,
  )
  await rm(path, { force: true })

  const sectors = layout.bootSizeBytes / layout.sectorBytes
  const hidden = layout.bootStartBytes / layout.sectorBytes
  const shape = ['-C', '-T', String(sectors), '-h', '255', '-s', '63', '-c', '4', '-H', String(hidden)]
  await run('mformat', ['-i', path, ...shape, '-N', '4b494c4e', '-v', 'KILNBOOT', '::'], { env })
  await run('mcopy', ['-i', path, parts.kernelPath, '::vmlinuz'], { env })
  await run('mcopy', ['-i', path, initrdPath, configPath, '::'], { env })
  await run('syslinux', ['--install', path], { env })
}

/** The initial file system: busybox, drivers, our `init`. */
export async function initrdArchive(sources: {
  busyboxPath: string
  initPath: string
  modulesDir: string
}): Promise<Buffer> {
  const directory = (path: string): CpioEntry => ({ path, mode: 0o040755 })
  const entries = [
    ...['bin', 'dev', 'modules', 'root'].map(directory),
    { path: 'bin/busybox', mode: 0o100755, content: await readFile(sources.busyboxPath) },
    { path: 'init', mode: 0o100755, content: await readFile(sources.initPath) },
  ]
  for (const [index, module] of initrdModules.entries()) {
    const content = await readFile(join(sources.modulesDir, module))
    entries.push({ path: `modules/${String(index).padStart(2, '0')}-${basename(module)}`, mode: 0o100644, content })
  }
  return cpioArchive(entries)
}
