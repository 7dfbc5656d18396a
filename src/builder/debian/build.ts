/**
 * Builds a whole Debian on this machine: systemd, cloud-init, OpenSSH, from Debian's own packages and by its own tools. The
 * disk boots by BIOS, and its guests know themselves on EC2.
 *
 * What was built for these sources stays in the cache, and is found again without asking anybody: a newer one, of the
 * packages of the day, is made on request.
 */
import { createHash } from 'node:crypto'
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../lib/clock.ts'
import { run } from '../../lib/programs.ts'
import { type BuiltImage, builtOnce, hashOfSources, settle } from '../build-cache.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'
import { hostSources, mirrorSources, type SourceLine } from './apt-sources.ts'
import { createDisk } from './disk.ts'
import { imageName, imageVersion, layout } from './recipe.ts'
import { makeRootArchive, requirePrograms } from './root-archive.ts'
import { findRootPrivileges, removeRoot, unpackRoot } from './root-privileges.ts'

export interface DebianImage extends BuiltImage {
  /** The address of the archive that it was made from. */
  archive: string
  packageCount: number
  builtAtMs: number
}

export interface DebianBuildOptions {
  /** Belongs to builders alone; may be shared by several at once. */
  cacheDir: string
  /** The address of a Debian archive; what this host's apt knows unless given. */
  mirror?: string
  /** Builds of today's packages even when an image of these sources exists. */
  refresh?: boolean
  /** One short line when a step begins. */
  onProgress?: (step: string) => void
  signal?: AbortSignal
}

/** The image; `wasThere` when nothing had to be built. Throws with what to install or to change when it cannot be. */
export async function buildDebian(options: DebianBuildOptions): Promise<{ image: DebianImage; wasThere: boolean }> {
  if (process.arch !== 'x64') throw new Error(`Debian is built for amd64 only, and this machine is ${process.arch}`)
  const folder = join(options.cacheDir, 'debian')
  const sources = await hashOfSources(import.meta.dirname)
  const key = createHash('sha256')
    .update(`${sources} ${options.mirror ?? ''}`)
    .digest('hex')
  return await builtOnce<DebianImage>({
    ...{ folder, key, refresh: options.refresh },
    build: (workDir) => build(folder, workDir, sources, options),
    removeWork: removeRoot,
  })
}

async function build(folder: string, workDir: string, sourcesHash: string, options: DebianBuildOptions) {
  const { onProgress = () => {}, signal, mirror } = options
  await requirePrograms()
  const privileges = await findRootPrivileges()
  onProgress("reading Debian's package lists")
  const sources = mirror === undefined ? await hostSources(join(folder, 'apt')) : mirrorSources(mirror)
  signal?.throwIfAborted()
  onProgress('installing Debian packages, which takes a minute or more')
  const archive = join(workDir, 'root.tar')
  await makeRootArchive({ path: archive, workDir, sources, privileges, signal })
  onProgress('writing the file systems')
  const rootDir = join(workDir, 'root')
  await unpackRoot(archive, rootDir, privileges, signal)
  const packages = installedPackages(await readFile(join(rootDir, 'var/lib/dpkg/status'), 'utf8'))
  const diskPath = join(workDir, 'disk.raw')
  await createDisk(diskPath, rootDir, privileges, signal)
  onProgress('packing the image')
  const image = await pack(diskPath, { sources, sourcesHash, packages }, signal)
  return { image, packages }
}

/** `NAME VERSION` of each package that dpkg's status file tells of, sorted. */
export function installedPackages(status: string): string[] {
  const field = (stanza: string, name: string) => new RegExp(`^${name}: (.+)$`, 'm').exec(stanza)?.[1]
  const stanzas = status.split('\n\n').filter((stanza) => field(stanza, 'Status') === 'install ok installed')
  return stanzas.map((stanza) => `${field(stanza, 'Package')} ${field(stanza, 'Version')}`).sort()
}

interface Inputs {
  sources: readonly SourceLine[]
  sourcesHash: string
  packages: readonly string[]
}

async function pack(
  diskPath: string,
  { sources, sourcesHash, packages }: Inputs,
  signal: AbortSignal | undefined,
): Promise<DebianImage> {
  const builtAtMs = systemClock.now()
  const inputs = createHash('sha256').update([sourcesHash, ...packages].join('\n'))
  const version = imageVersion(builtAtMs, inputs.digest('hex'))
  const imagePath = `${diskPath}.qcow2`
  const how = ['-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd', '-m', '8', '-W']
  const options = { env: hostEnvironment, timeoutMs: 15 * 60_000, signal }
  await run('qemu-img', ['convert', ...how, diskPath, imagePath], options)
  await chmod(imagePath, 0o444)
  return {
    ...{ name: imageName(version), version, imagePath, sha256: await settle(imagePath) },
    ...{
      virtualSizeBytes: layout.diskBytes,
      archive: sources[0]!.split(' ')[1]!,
      packageCount: packages.length,
      builtAtMs,
    },
  }
}
