/** The block server as its own process, the way the daemon runs it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, isAlive, type ProcessRef, startDetached } from '../../lib/programs.ts'
import { answersNbd } from '../nbd/probe.ts'
import type { ServerProcessControl } from '../server-process.ts'

export interface RunningBlockServer {
  socketPath: string
  process: ProcessRef
  /** Everything that it logged so far. */
  logged(): Promise<string>
}

/** Starts a server for `FOLDER/regions/REGION/store` until the test is over, and waits until it answers. */
export async function startBlockServer(folder: string): Promise<RunningBlockServer> {
  const [socketPath, logPath] = [join(folder, 'blocks.sock'), join(folder, 'blocks.log')]
  const process = await runServer(blockServerScript, serverArgs(folder), logPath)
  onTestFinished(() => endProcess(process))
  await waitFor(systemClock, async () => ((await answersNbd(socketPath)) ? true : undefined), {
    everyMs: 20,
    timeoutMs: 10_000,
  })
  return { socketPath, process, logged: () => readFile(logPath, 'utf8') }
}

export const blockServerScript = join(import.meta.dirname, '..', 'server-main.ts')

export function serverArgs(folder: string): string[] {
  return [
    '--socket',
    join(folder, 'blocks.sock'),
    '--stores',
    join(folder, 'regions'),
    '--stats',
    join(folder, 'stats'),
  ]
}

/** As the composition root gives it. */
export const serverControl: ServerProcessControl = {
  start: ({ script, args, logPath }) => runServer(script, args, logPath),
  isAlive,
  end: (process) => endProcess(process),
}

function runServer(script: string, args: readonly string[], logPath: string): Promise<ProcessRef> {
  return startDetached(process.execPath, [script, ...args], { logPath })
}
