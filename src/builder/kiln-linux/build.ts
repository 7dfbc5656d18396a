/**
 * Builds Kiln Linux on this machine, without privileges: a BIOS-bootable disk from Debian's kernel, busybox, dropbear,
 * sudo, bash and openssl, and our own scripts in `rootfs/`.
 *
 * The image's name follows from what goes into it (our files, the packages' versions), so equal inputs have one name,
 * and a finished image is found again without asking anybody. Everything appears by rename: an interrupted build leaves
 * a work folder, which the next one removes, and never half an image.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { systemClock } from '../../lib/clock.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import { initrdArchive, writeBootPartition } from './boot-partition.ts'
import { withBuildLock } from './build-lock.ts'
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
import { filesBelow } from './root-tree.ts'
import { kilnLinuxTree } from './tree.ts'

export interface KilnLinuxImage {
  /** `kiln-linux-<version>-x86_64-ebs`, the name under which it is registered. */
  name: string
  version: string
  /** A compressed qcow2 without a backing file. */
  imagePath: string
  virtualSizeBytes: number
  /** Of the qcow2 file, hexadecimal. */
  sha256: string
}

export interface BuildOptions {
  /** Belongs to builders alone; may be shared by several at once. */
  cacheDir: string
  log?: Log
  /** One short line when a step begins. */
  onProgress?: (step: string) => void
  /** Asks Debian for newer packages even when an image of these sources exists. */
  refresh?: boolean
}

/** What a finished build left beside the image. */
interface Receipt {
  image: Omit<KilnLinuxImage, 'imagePath'> & { fileName: string; fileBytes: number }
  packages: DebianPackage[]
}

const rootUuid = '4b494c4e-0000-4000-8000-000000000001'

/** The image of these sources: from the cache when it is there, else built (needs Debian's archive for the first time). */
export async function buildKilnLinux(options: BuildOptions): Promise<KilnLinuxImage> {
  if (process.arch !== 'x64')
    throw new Error(`Kiln Linux is built for x86_64 only, and this machine is ${process.arch}`)
  const folder = join(options.cacheDir, 'kiln-linux')
  const sources = await hashOfSources()
  const receiptPath = join(folder, `built-${sources.slice(0, 16)}.json`)
  const cached = options.refresh ? undefined : await readReceipt(folder, receiptPath)
  if (cached) return cached

  await mkdir(folder, { recursive: true, mode: 0o700 })
  return withBuildLock(join(folder, 'lock'), systemClock, async () => {
    // Whoever held the lock may have built it.
    const builtMeanwhile = options.refresh ? undefined : await readReceipt(folder, receiptPath)
    if (builtMeanwhile) return builtMeanwhile
    for (const name of await readdir(folder)) {
      if (name.startsWith('work-')) await rm(join(folder, name), { recursive: true, force: true })
    }
    const workDir = join(folder, `work-${randomUUID()}`)
    await mkdir(workDir)
    try {
      const receipt = await build(folder, workDir, sources, options)
      await writeFile(join(workDir, 'receipt'), `${JSON.stringify(receipt, null, 2)}\n`)
      await rename(join(workDir, 'receipt'), receiptPath)
      return imageOf(receipt, folder)
    } finally {
      await rm(workDir, { recursive: true, force: true })
    }
  })
}

async function build(folder: string, workDir: string, sources: string, options: BuildOptions): Promise<Receipt> {
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
  const fileName = `${name}.qcow2`
  const fileBytes = (await stat(packed)).size
  await rename(packed, join(folder, fileName))
  return { image: { name, version, virtualSizeBytes: diskSizeBytes, sha256, fileName, fileBytes }, packages }
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

/** Flushes the file to the disk and tells its hash. */
async function settle(path: string): Promise<string> {
  await using file = await open(path)
  await file.sync()
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

async function readReceipt(folder: string, path: string): Promise<KilnLinuxImage | undefined> {
  try {
    const receipt = JSON.parse(await readFile(path, 'utf8')) as Receipt
    const file = await stat(join(folder, receipt.image.fileName))
    return file.size === receipt.image.fileBytes ? imageOf(receipt, folder) : undefined
  } catch {
    return undefined
  }
}

function imageOf({ image }: Receipt, folder: string): KilnLinuxImage {
  const { name, version, virtualSizeBytes, sha256, fileName } = image
  return { name, version, virtualSizeBytes, sha256, imagePath: join(folder, fileName) }
}

function sourcePath(path: string): string {
  return join(import.meta.dirname, path)
}

/** Of all files in this folder that decide what is built; tests and declarations do not. */
async function hashOfSources(): Promise<string> {
  const paths = (await filesBelow(import.meta.dirname)).filter((path) => !/\.(test|fixture|d)\.ts$/.test(path))
  const hash = createHash('sha256')
  for (const path of paths) {
    const content = await readFile(sourcePath(path))
    hash.update(`${path} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}
