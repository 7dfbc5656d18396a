/** Disk images made and read by QEMU itself, so that capture and server are judged by what guests would see. */
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, isAlive, run, startDetached } from '../../lib/programs.ts'
import { answersNbd } from '../nbd/probe.ts'
import type { CaptureSource } from '../ports.ts'

let exportCount = 0

/** An empty qcow2 of that size, then written to by `qemu-io` commands such as `write -P 7 0 64k`. */
export async function makeLayer(path: string, sizeBytes: number, commands: readonly string[] = []): Promise<void> {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(sizeBytes)])
  if (commands.length > 0) await writeLayer([path], commands)
}

/** Writes to the top of a chain of qcow2 files, lowest first. */
export async function writeLayer(layers: readonly string[], commands: readonly string[]): Promise<void> {
  const image = JSON.stringify(chainOptions(layers))
  await run('qemu-io', [...commands.flatMap((command) => ['-c', command]), `json:${image}`])
}

/** What a guest would read of that chain, as one raw file. */
export async function flatten(layers: readonly string[], rawPath: string): Promise<void> {
  await run('qemu-img', ['convert', '-U', '-O', 'raw', `json:${JSON.stringify(chainOptions(layers))}`, rawPath])
}

/** Serves a chain of qcow2 files (lowest first, perhaps over an NBD export) read-only until the test is over, the way frozen disks are served. */
export async function serveChain(
  folder: string,
  layers: readonly string[],
  base?: CaptureSource,
): Promise<CaptureSource & { kill(): Promise<void> }> {
  const socketPath = join(folder, `qsd-${exportCount++}.sock`)
  const nodes = base ? [JSON.stringify({ ...nbdOptions(base), 'node-name': 'base' })] : []
  for (const [i, filename] of layers.entries()) {
    nodes.push(JSON.stringify({ driver: 'file', 'node-name': `file${i}`, filename, locking: 'off', 'read-only': true }))
    const backing = i > 0 ? `layer${i - 1}` : base ? 'base' : null
    nodes.push(
      JSON.stringify({ driver: 'qcow2', 'node-name': `layer${i}`, file: `file${i}`, backing, 'read-only': true }),
    )
  }
  const top = `layer${layers.length - 1}`
  const daemon = await startDetached(
    'qemu-storage-daemon',
    [
      ...nodes.flatMap((node) => ['--blockdev', node]),
      ...['--nbd-server', `addr.type=unix,addr.path=${socketPath}`],
      ...['--export', `type=nbd,id=e,node-name=${top},name=disk,allocation-depth=on`],
    ],
    { logPath: join(folder, 'qsd.log') },
  )
  onTestFinished(() => endProcess(daemon))
  const ready = await waitFor(
    systemClock,
    async () => (await answersNbd(socketPath)) || (isAlive(daemon) ? undefined : false),
    { everyMs: 10, timeoutMs: 10_000 },
  )
  if (!ready) throw new Error('qemu-storage-daemon does not answer')
  return { socketPath, exportName: 'disk', kill: () => endProcess(daemon, 0) }
}

/** What `qemu-img`, `qemu-io` and a guest's `-blockdev` take to read an export; waits for a server that went away. */
export function nbdImage(source: CaptureSource): string {
  return `json:${JSON.stringify(nbdOptions(source))}`
}

export function nbdOptions({ socketPath, exportName }: CaptureSource) {
  const server = { type: 'unix', path: socketPath }
  return { driver: 'nbd', server, export: exportName, 'reconnect-delay': 60, 'read-only': true }
}

function chainOptions(layers: readonly string[]): object | undefined {
  if (layers.length === 0) return undefined
  return {
    driver: 'qcow2',
    file: { driver: 'file', filename: layers.at(-1), locking: 'off' },
    backing: chainOptions(layers.slice(0, -1)) ?? null,
  }
}
