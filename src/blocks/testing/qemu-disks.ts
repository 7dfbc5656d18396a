/** Disk images made and read by QEMU itself, so that capture and server are judged by what guests would see. */
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { endProcess, isAlive, type ProcessRef, run, startDetached } from '../../lib/programs.ts'
import type { SealedDisks } from '../disk-file.ts'
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

/** As the composition root gives them, by QEMU's own programs; a key lies beside its file for as long as a test runs. */
export const sealedDisks: SealedDisks = {
  async createLayer(path, sizeBytes, key) {
    await writeFile(secretOf(path), key.toString('hex'))
    const sealed = 'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=1'
    const secret = ['--object', `secret,id=key,file=${secretOf(path)}`]
    const create = ['create', '-q', '-f', 'qcow2', ...secret, '-o', sealed, path, String(sizeBytes)]
    for (let attempt = 1; ; attempt++) {
      try {
        await run('qemu-img', create)
        return
      } catch (error) {
        // QEMU times its key derivation, and on a busy processor now and then finds that it took no time at all.
        if (attempt === 20 || !/Unable to get accurate CPU usage/.test(messageOf(error))) throw error
      }
    }
  },
  async openForWriting(path, _sizeBytes, key) {
    await writeFile(secretOf(path), key.toString('hex'))
    const socketPath = join(dirname(path), `qsd-${exportCount++}.sock`)
    const args = [
      ...['--object', `secret,id=key,file=${secretOf(path)}`],
      ...['--blockdev', JSON.stringify({ 'node-name': 'disk', ...sealedOptions(path) })],
      ...['--nbd-server', `addr.type=unix,addr.path=${socketPath}`],
      ...['--export', 'type=nbd,id=e,node-name=disk,name=disk,writable=on'],
    ]
    const daemon = await startServer(args, socketPath, dirname(path))
    return { socketPath, exportName: 'disk', close: () => endProcess(daemon) }
  },
}

/** All of a sealed file, as one raw file. */
export async function unseal(path: string, key: Buffer, rawPath: string): Promise<void> {
  await writeFile(secretOf(path), key.toString('hex'))
  const secret = ['--object', `secret,id=key,file=${secretOf(path)}`]
  await run('qemu-img', ['convert', ...secret, '-O', 'raw', `json:${JSON.stringify(sealedOptions(path))}`, rawPath])
}

const secretOf = (path: string) => `${path}.secret`

function sealedOptions(path: string) {
  const encrypt = { format: 'luks', 'key-secret': 'key' }
  return { driver: 'qcow2', file: { driver: 'file', filename: path }, encrypt }
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
  const args = [
    ...nodes.flatMap((node) => ['--blockdev', node]),
    ...['--nbd-server', `addr.type=unix,addr.path=${socketPath}`],
    ...['--export', `type=nbd,id=e,node-name=${top},name=disk,allocation-depth=on`],
  ]
  const daemon = await startServer(args, socketPath, folder)
  return { socketPath, exportName: 'disk', kill: () => endProcess(daemon, 0) }
}

async function startServer(args: readonly string[], socketPath: string, folder: string): Promise<ProcessRef> {
  const daemon = await startDetached('qemu-storage-daemon', args, { logPath: join(folder, 'qsd.log') })
  onTestFinished(() => endProcess(daemon))
  const ready = await waitFor(
    systemClock,
    async () => (await answersNbd(socketPath)) || (isAlive(daemon) ? undefined : false),
    { everyMs: 10, timeoutMs: 10_000 },
  )
  if (!ready) throw new Error('qemu-storage-daemon does not answer')
  return daemon
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
