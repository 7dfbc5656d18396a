/** A reader of the documentation, who types what it prints: the folder and the terminal that she has. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { cleanEnvironment, kilnProgram, type RunningKiln, repositoryRoot, startKiln } from '../e2e/support/kiln.ts'
import type { Ground } from './printed-blocks.ts'

/** A folder with `bin/kiln`, and with the packages of the SDK installed. Its maker removes it. */
export async function readersFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-pages-'))
  await mkdir(join(folder, 'bin'))
  await symlink(kilnProgram, join(folder, 'bin/kiln'))
  await symlink(join(repositoryRoot, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Of a terminal that knows nothing of any cloud. */
export function readersEnvironment(): NodeJS.ProcessEnv {
  return { ...cleanEnvironment(), AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' }
}

/** A Kiln with simulated machines, and a reader of it; for all tests of a `describe`. */
export function useReader(env: NodeJS.ProcessEnv = {}): Readonly<Ground & { kiln: RunningKiln }> {
  const reader = {} as Ground & { kiln: RunningKiln }
  beforeAll(async () => {
    reader.folder = await readersFolder()
    reader.kiln = await startKiln()
    reader.url = reader.kiln.url
    reader.env = { ...readersEnvironment(), KILN_HOME: reader.kiln.home, ...env }
  })
  afterAll(async () => {
    await reader.kiln?.cleanup()
    await rm(reader.folder, { recursive: true, force: true })
  })
  return reader
}
