/**
 * Builds Kiln Linux on this machine, without privileges: a BIOS-bootable disk from Debian's kernel, busybox, dropbear,
 * sudo, bash and openssl, and our own scripts in `rootfs/`.
 *
 * The image's name follows from what goes into it (our files, the packages' versions), so equal inputs have one name.
 */
import { createHash } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { type Log, silentLog } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import { type BuiltImage, builtOnce, hashOfSources, settle } from '../build-cache.ts'
import { initrdArchive, writeBootPartition } from './boot-partition.ts'
import {
  type Apt,
  type DebianPackage,
  downloadPackages,
  explainAptFailure,
  freshApt,
  hostApt,
  resolveMetaPackage,
  resolvePackages,
  unpackPackage,
} from './debian-packages.ts'
import { createDisk } from './disk.ts'
import { writeExt4 } from './ext4.ts'
import { hostEnvironment } from './host-environment.ts'
import { diskSizeBytes, kernelMetaPackage, layout, packageFiles, release } from './recipe.ts'
import { kilnLinuxTree } from './tree.ts'

/** Called `kiln-linux-<version>-x86_64-ebs`. */
export type KilnLinuxImage = BuiltImage

export interface BuildOptions {
  /** Belongs to builders alone; may be shared by several at once. */
  cacheDir: string
  log?: Log
  /** One short line when a step begins. */
  onProgress?: (step: string) => void
  /** Asks Debian for newer packages even when an image of these sources exists. */
  refresh?: boolean
}

const rootUuid = '4b494c4e-0000-4000-8000-000000000001'

/** The image of these sources: from the cache when it is there, else built (needs Debian's archive for the first time). */
export async function buildKilnLinux(options: BuildOptions): Promise<KilnLinuxImage> {
  if (process.arch !== 'x64')
    throw new Error(`Kiln Linux is built for x86_64 only, and this machine is ${process.arch}`)
  const folder = join(options.cacheDir, 'kiln-linux')
  const key = await hashOfSources(import.meta.dirname)
  const work = (workDir: string) => build(folder, workDir, key, options)
  return (await builtOnce({ folder, key, refresh: options.refresh, build: work })).image
}

async function build(
  folder: string,
  workDir: string,
  sources: string,
  options: BuildOptions,
): Promise<{ image: KilnLinuxImage; packages: DebianPackage[] }> {
  const { log = silentLog, onProgress = () => {} } = options
  onProgress('finding Debian packages')
  const { packages, kernelName, packagesDir } = await obtainPackages(folder, onProgress).catch((error) => {
    throw explainAptFailure(error)
  })
  const inputs = createHash('sha256').update(sources)
  for (const { fileName, sha256 } of packages) inputs.update(`${fileName} ${sha256}\n`)
  const version = `${release}-${inputs.digest('hex').slice(0, 8)}`
  const name = `kiln-linux-${version}-x86_64-ebs`
  log.info({ name, packages: packages.map((one) => one.fileName) }, 'building Kiln Linux')

  onProgress('unpacking')
  const unpacked = join(workDir, 'packages')
  for (const one of packages) await unpackPackage(join(packagesDir, one.fileName), join(unpacked, one.name))
  const kernelRelease = kernelName.replace('linux-image-', '')
  const kernelDir = join(unpacked, kernelName)
  const modulesDir = join(kernelDir, 'lib/modules', kernelRelease, 'kernel')

  onProgress('writing the file systems')
  const initrd = await initrdArchive({
    busyboxPath: join(unpacked, 'busybox-static/bin/busybox'),
    initPath: sourcePath('initrd/init'),
    modulesDir,
  })
  const bootPath = join(workDir, 'boot.fat')
  await writeBootPartition(bootPath, {
    kernelPath: join(kernelDir, 'boot', `vmlinuz-${kernelRelease}`),
    initrd,
    workDir,
  })
  const diskPath = join(workDir, 'disk.raw')
  await createDisk(diskPath, bootPath)
  await writeExt4({
    imagePath: diskPath,
    offsetBytes: layout.rootStartBytes,
    sizeBytes: diskSizeBytes - layout.rootStartBytes,
    label: 'kiln-root',
    uuid: rootUuid,
    entries: await kilnLinuxTree({
      rootfsDir: sourcePath('rootfs'),
      unpackedDir: unpacked,
      modulesDir,
      workDir,
      version,
      kernelRelease,
    }),
  })

  onProgress('packing the image')
  const packed = join(workDir, 'image.qcow2')
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', diskPath, packed], {
    env: hostEnvironment,
    timeoutMs: 5 * 60_000,
  })
  await chmod(packed, 0o444)
  const sha256 = await settle(packed)
  return { image: { name, version, imagePath: packed, virtualSizeBytes: diskSizeBytes, sha256 }, packages }
}

/** Packages by the host's lists; by fresh ones of our own when those are missing or name what Debian no longer has. */
async function obtainPackages(folder: string, onProgress: (step: string) => void) {
  const packagesDir = join(folder, 'packages')
  const obtain = async (apt: Apt) => {
    const kernelName = await resolveMetaPackage(apt, kernelMetaPackage)
    const packages = await resolvePackages(apt, [kernelName, ...Object.keys(packageFiles)])
    const mib = Math.round(packages.reduce((sum, one) => sum + one.sizeBytes, 0) / 1024 / 1024)
    onProgress(`fetching ${packages.length} Debian packages (${mib} MiB)`)
    await downloadPackages(apt, packages, packagesDir)
    return { packages, kernelName, packagesDir }
  }
  return obtain(hostApt).catch(async () => {
    onProgress('fetching package lists from Debian')
    return obtain(await freshApt(join(folder, 'apt')))
  })
}

function sourcePath(path: string): string {
  return join(import.meta.dirname, path)
}
