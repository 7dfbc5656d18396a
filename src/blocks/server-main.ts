/**
 * The block server's process: serves the snapshots of all regions over NBD, so that work on the API never holds up a
 * guest's disk. It keeps no state but counters: killed and started anew, it serves the same guests on.
 *
 *     node server-main.ts --socket PATH --stores DIR --stats DIR [--key-file PATH] [--cache-mib N]
 *
 * Stores lie in DIR/REGION/store. The master key is read when a sealed snapshot is opened. While it runs, PATH.pid holds
 * `{"pid":…,"startTicks":…,"keyFile":…}`. SIGTERM ends it with 0; it
 * ends with 3 at once when another one serves that socket.
 */
import { createHash } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { type MasterKey, readMasterKey } from '../lib/master-key.ts'
import { BlockCache } from './block-cache.ts'
import { NbdServer } from './nbd/server.ts'
import { pidfileOf } from './server-process.ts'
import { SnapshotExports } from './snapshot-exports.ts'
import { hasCode } from './store-files.ts'
import { VolumeCounters } from './volume-reads.ts'

const defaultCacheMib = 256
const flushIntervalMs = 1000
const exitUsage = 2
const exitBusy = 3

const { values } = parseArgs({
  options: {
    socket: { type: 'string' },
    stores: { type: 'string' },
    stats: { type: 'string' },
    'key-file': { type: 'string' },
    'cache-mib': { type: 'string' },
  },
})
const { socket: socketPath, stores: regionsDir, stats: statsDir, 'key-file': keyFile } = values
const cacheMib = Number(values['cache-mib'] ?? defaultCacheMib)
if (!socketPath || !regionsDir || !statsDir || !Number.isInteger(cacheMib) || cacheMib < 1) {
  process.stderr.write('usage: server-main --socket PATH --stores DIR --stats DIR [--key-file PATH] [--cache-mib N]\n')
  process.exit(exitUsage)
}

const log = createLog(process.env.KILN_LOG ?? 'info')
process.umask(0o077)
await mkdir(dirname(socketPath), { recursive: true })
if (!(await holdLock(socketPath))) {
  log.error({ socketPath }, 'another block server serves this socket')
  process.exit(exitBusy)
}
// Whoever holds the lock is alone, so a socket that lies there was left by a server that was killed.
await rm(socketPath, { force: true })

const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

const counters = new VolumeCounters(statsDir)
const cache = new BlockCache(cacheMib * 1024 * 1024)
const server = new NbdServer(new SnapshotExports({ regionsDir, cache, counters, masterKey, log }), log)
// First the pidfile: whoever finds that the server answers must be able to end it.
await writePidfile(pidfileOf(socketPath))
await server.listen(socketPath)
log.info({ socketPath }, 'block server ready')

while (!stop.signal.aborted) {
  await systemClock.sleep(flushIntervalMs, stop.signal).catch(() => {})
  await counters.flush().catch((error) => log.error({ err: error }, 'counters could not be written'))
}
await server.close()
await counters.flush()
await rm(pidfileOf(socketPath), { force: true })
process.exit(0)

/**
 * Takes the right to serve a socket's path: an abstract socket named after it, which the kernel gives to one process at
 * a time, and takes back when that process ends in whatever way. False when another holds it.
 */
async function holdLock(path: string): Promise<boolean> {
  const place = join(realpathSync(dirname(path)), basename(path))
  const name = `\0kiln-block-server-${createHash('sha256').update(place).digest('hex')}`
  return await new Promise<boolean>((resolve, reject) => {
    const lock: Server = createServer((socket) => socket.destroy())
    lock.once('error', (error) => (hasCode(error, 'EADDRINUSE') ? resolve(false) : reject(error)))
    lock.listen(name, () => resolve(true))
  })
}

async function masterKey(): Promise<MasterKey> {
  if (keyFile !== undefined) return await readMasterKey(keyFile)
  throw new Error('this block server was started without a master key')
}

/** Start ticks tell this process from a later one with the same id. */
async function writePidfile(path: string): Promise<void> {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const startTicks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  await writeFile(`${path}.new`, JSON.stringify({ pid: process.pid, startTicks, keyFile }))
  await rename(`${path}.new`, path)
}
