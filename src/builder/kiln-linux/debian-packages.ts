/**
 * Debian packages as any user may have them: apt-get resolves and downloads, dpkg-deb unpacks, nothing is installed and
 * no database of the host changes. Where the host's package lists are missing or too old, fresh ones are fetched into
 * our own cache.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { ProgramError, run } from '../../lib/programs.ts'

export interface DebianPackage {
  name: string
  version: string
  /** As apt-get saves it: `name_version_arch.deb`, with the version's colon written `%3a`. */
  fileName: string
  sizeBytes: number
  sha256: string
}

/** apt's own words, whatever the user's language. */
const environment = { ...process.env, LC_ALL: 'C' }
const downloadTimeoutMs = 10 * 60_000

/** apt-get on the host's package lists, or on lists of our own below `listsDir`. */
export interface Apt {
  options: readonly string[]
}

export const hostApt: Apt = { options: ['-q', '-o', 'APT::Sandbox::User=root'] }

/** Fetches the package lists that the host's sources name into `dir`; no privileges needed. */
export async function freshApt(dir: string): Promise<Apt> {
  const lists = join(dir, 'lists')
  await mkdir(join(lists, 'partial'), { recursive: true })
  await mkdir(join(dir, 'cache/archives/partial'), { recursive: true })
  const options = [...hostApt.options, '-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${join(dir, 'cache')}`]
  await run('apt-get', [...options, 'update'], { env: environment, timeoutMs: downloadTimeoutMs })
  return { options }
}

/** The package that a metapackage stands for: the first of its dependencies. */
export async function resolveMetaPackage(apt: Apt, name: string): Promise<string> {
  const shown = await run('apt-cache', [...apt.options, 'show', '--no-all-versions', name], { env: environment })
  const dependency = /^Depends: ([a-z0-9.+-]+)/m.exec(shown)?.[1]
  if (!dependency) throw new Error(`apt-cache knows no dependency of the package ${name}`)
  return dependency
}

/** The newest version of each package, with what apt will check the download against; sorted by file name. */
export async function resolvePackages(apt: Apt, names: readonly string[]): Promise<DebianPackage[]> {
  const printed = await run('apt-get', [...apt.options, 'download', '--print-uris', ...names], { env: environment })
  const packages = [...printed.matchAll(/^'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})$/gm)].map((match) => {
    const [, fileName, size, sha256] = match as unknown as [string, string, string, string]
    const [name, version] = fileName.split('_') as [string, string]
    return { name, version: version.replaceAll('%3a', ':'), fileName, sizeBytes: Number(size), sha256 }
  })
  const missing = names.filter((name) => !packages.some((found) => found.name === name))
  if (missing.length > 0) throw new Error(`apt-get knows no download for ${missing.join(', ')}`)
  return packages.sort((a, b) => (a.fileName < b.fileName ? -1 : 1))
}

/**
 * Makes sure that `dir` holds each package, whole: a file is there under its name only after its hash was checked.
 * Packages that are not wanted any more are removed.
 */
export async function downloadPackages(apt: Apt, packages: readonly DebianPackage[], dir: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const missing: DebianPackage[] = []
  for (const wanted of packages) {
    const size = await stat(join(dir, wanted.fileName)).then(
      (found) => found.size,
      () => -1,
    )
    if (size !== wanted.sizeBytes) missing.push(wanted)
  }
  if (missing.length > 0) {
    const arriving = join(dir, `.arriving-${randomUUID()}`)
    await mkdir(arriving)
    try {
      const names = missing.map(({ name, version }) => `${name}=${version}`)
      await run('apt-get', [...apt.options, 'download', ...names], {
        cwd: arriving,
        env: environment,
        timeoutMs: downloadTimeoutMs,
      })
      for (const { fileName, sha256 } of missing) {
        const path = join(arriving, fileName)
        const found = createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
        if (found !== sha256) throw new Error(`${fileName} was downloaded with SHA-256 ${found} instead of ${sha256}`)
        await rename(path, join(dir, fileName))
      }
    } finally {
      await rm(arriving, { recursive: true, force: true })
    }
  }
  const wanted = new Set(packages.map((one) => one.fileName))
  for (const name of await readdir(dir)) {
    if (name.endsWith('.deb') && !wanted.has(name)) await rm(join(dir, name), { force: true })
  }
}

/** Unpacks one package into a directory of its own. */
export async function unpackPackage(debPath: string, targetDir: string): Promise<void> {
  await mkdir(targetDir, { recursive: true })
  await run('dpkg-deb', ['-x', debPath, targetDir], { env: environment })
}

/** What apt said, as advice: without it people only see an exit code. */
export function explainAptFailure(error: unknown): Error {
  const missing = error instanceof ProgramError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
  return new Error(
    missing
      ? 'Kiln Linux is made from Debian packages, and this host has no apt-get'
      : `Kiln Linux is made from Debian 12 packages, and apt-get could not provide them: ${messageOf(error)}`,
    { cause: error },
  )
}
