/** The root file system of a new Debian as a tar archive, made by mmdebstrap. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProgramError, run } from '../../lib/programs.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'
import { proxyVariables, type SourceLine } from './apt-sources.ts'
import { overlayArchive } from './overlay.ts'
import { packages, release } from './recipe.ts'
import type { RootPrivileges } from './root-privileges.ts'

export interface RootArchiveRequest {
  path: string
  /** For files on the way. */
  workDir: string
  sources: readonly SourceLine[]
  privileges: RootPrivileges
  signal: AbortSignal | undefined
}

const timeoutMs = 60 * 60_000
const overlayFile = 'overlay.tar'

/** Throws {@link ProgramError} with the last lines that mmdebstrap said. */
export async function makeRootArchive(request: RootArchiveRequest): Promise<void> {
  const { path, workDir, sources, privileges, signal } = request
  await writeFile(join(workDir, overlayFile), await overlayArchive(join(import.meta.dirname, 'rootfs')), {
    mode: 0o644,
  })
  const words = [
    ...[`--mode=${privileges.mode}`, '--variant=minbase', '--architectures=amd64', '--format=tar'],
    `--include=${packages.join(',')}`,
    // Before the kernel's package is configured, which makes an initrd by what our files say.
    `--essential-hook=tar-in ${overlayFile} /`,
    '--customize-hook=chroot "$1" /usr/lib/kiln/finish-image',
    ...[release.codename, path, ...sources],
  ]
  // mmdebstrap takes its own folder away when it is asked to stop, and ends whatever it has begun.
  const env: NodeJS.ProcessEnv = { ...hostEnvironment, ...(await proxyVariables()) }
  // What stands for root in a user namespace may not enter a folder that is ours alone; root may, and leaves nothing else.
  if (privileges.mode === 'root') env.TMPDIR = workDir
  signal?.throwIfAborted()
  await run('mmdebstrap', words, { cwd: workDir, env, timeoutMs, signal, killSignal: 'SIGTERM' }).catch((error) => {
    signal?.throwIfAborted()
    throw explained(error)
  })
}

function explained(error: unknown): Error {
  if (!(error instanceof ProgramError)) return error as Error
  const complaints = error.stderr.split('\n').filter((line) => line.startsWith('E: '))
  const said = complaints.slice(0, 5).join(' | ').slice(0, 1000)
  return new Error(`mmdebstrap could not make ${release.title}: ${said || error.message}`, { cause: error })
}

/** Programs beyond those that Kiln needs anyway, and the packages that have them. */
const programs = { mmdebstrap: 'mmdebstrap', sfdisk: 'fdisk' }

/** Throws with what to type when a program is missing here. */
export async function requirePrograms(): Promise<void> {
  const missing: string[] = []
  for (const [program, from] of Object.entries(programs)) {
    await run(program, ['--version'], { env: hostEnvironment }).catch(() => missing.push(from))
  }
  if (missing.length === 0) return
  throw new Error(
    `${release.title} is built by ${Object.keys(programs).join(' and ')}, and not all of that is here: ` +
      `type sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
  )
}
