/**
 * A large file, fetched once: what has come stays in a `.part` file, and the next try goes on behind it, unless the file
 * at the other end is no longer the same. It gets its name only when its checksum is the one that was proved.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { isDiskFull, messageOf } from '../../lib/errors.ts'
import { flush } from '../../lib/stable-storage.ts'
import { withBuildLock } from '../build-lock.ts'
import type { Checksum } from './checksums.ts'
import { NotThere, request, type Source, Unreachable } from './fetching.ts'

export interface DownloadRequest {
  source: Source
  url: string
  /** Where the file lies in the end. */
  path: string
  checksum: Checksum
  clock: Clock
  signal: AbortSignal
  /** `totalBytes` is null when the host does not say. */
  onProgress?(doneBytes: number, totalBytes: number | null): void
}

/** What came is not what was promised. None of it is kept. */
export class Damaged extends Error {}

/** The host has answered, and the line broke before all was there. */
class Break extends Unreachable {}

/** What a `.part` file is the beginning of. */
interface PartRecord {
  url: string
  digest: string
  etag: string | null
}

/** Breaks of the line that one download outlives. */
const breaksMax = 4
const pauseMs = 1000
/** What stays free for the state and for guests that write. */
const reserveBytes = 64 * 1024 ** 2

/** The length of the file. Throws {@link Unreachable} and keeps what came, or {@link Damaged} and keeps nothing. */
export async function download(wish: DownloadRequest): Promise<number> {
  await mkdir(dirname(wish.path), { recursive: true, mode: 0o700 })
  // Whoever shares the cache may fetch the same at the same time.
  return await withBuildLock(`${wish.path}.lock`, wish.clock, async () =>
    (await isThere(wish)) ? await lengthOf(wish.path) : await tryUntilWhole(wish),
  )
}

async function tryUntilWhole(wish: DownloadRequest): Promise<number> {
  for (let breaks = 0; ; breaks++) {
    try {
      return await attempt(wish)
    } catch (error) {
      if (!(error instanceof Break)) throw error
      if (breaks >= breaksMax) throw brokenOff(wish, await lengthOf(partOf(wish)), error)
      await wish.clock.sleep(pauseMs)
    }
  }
}

/** Whether an earlier download lies there whole, of which nothing has come yet. */
async function isThere({ path, checksum }: DownloadRequest): Promise<boolean> {
  if ((await lengthOf(path)) === 0) return false
  const hash = createHash(checksum.algorithm)
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex') === checksum.digest
}

const partOf = ({ path }: DownloadRequest) => `${path}.part`
const recordOf = ({ path }: DownloadRequest) => `${path}.part.json`

async function attempt(wish: DownloadRequest): Promise<number> {
  const hash = createHash(wish.checksum.algorithm)
  const { doneBytes, etag } = await resume(wish, hash)
  const response = await answerFrom(wish, doneBytes, etag)
  if (response.status !== 206 && doneBytes > 0) {
    await response.body?.cancel()
    await discard(wish)
    return await attempt(wish)
  }
  const restBytes = lengthIn(response)
  await checkRoom(wish, restBytes ?? 0)
  if (doneBytes === 0) await begin(wish, response.headers.get('etag'))
  const total = restBytes === null ? null : doneBytes + restBytes
  const length = await receive(wish, response, { hash, doneBytes, totalBytes: total })
  if (total !== null && length < total) throw new Break(`${length} of ${total} bytes came`)
  await conclude(wish, hash)
  return length
}

/** What lies here already goes through the hash; nothing counts that began as another file. */
async function resume(wish: DownloadRequest, hash: Hash): Promise<{ doneBytes: number; etag: string | null }> {
  const record = await readFile(recordOf(wish), 'utf8')
    .then(JSON.parse, () => undefined)
    .catch(() => undefined)
  const { url, digest, etag = null } = (record ?? {}) as Partial<PartRecord>
  if (url !== wish.url || digest !== wish.checksum.digest) {
    await discard(wish)
    return { doneBytes: 0, etag: null }
  }
  const length = await lengthOf(partOf(wish))
  if (length > 0) for await (const piece of createReadStream(partOf(wish))) hash.update(piece as Buffer)
  return { doneBytes: length, etag }
}

async function answerFrom(wish: DownloadRequest, doneBytes: number, etag: string | null): Promise<Response> {
  const { source, url, signal } = wish
  const range = doneBytes > 0 ? { range: `bytes=${doneBytes}-`, ...(isStrong(etag) ? { 'if-range': etag } : {}) } : {}
  const wanted = doneBytes > 0 ? [200, 206, 416] : [200]
  // A host that packs what it sends would send other bytes than those that were counted.
  const response = await request(source, url, { headers: { 'accept-encoding': 'identity', ...range }, signal, wanted })
  if (response.status !== 206) return response
  const begins = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
  if (Number(begins) === doneBytes) return response
  await response.body?.cancel()
  throw new NotThere(`${url} was asked for the rest behind byte ${doneBytes}, and sent another part`)
}

const isStrong = (etag: string | null): etag is string => etag?.startsWith('"') ?? false

async function begin(wish: DownloadRequest, etag: string | null): Promise<void> {
  const record: PartRecord = { url: wish.url, digest: wish.checksum.digest, etag }
  await writeFile(partOf(wish), '', { mode: 0o600 })
  await writeFile(recordOf(wish), JSON.stringify(record), { mode: 0o600 })
}

async function receive(
  wish: DownloadRequest,
  response: Response,
  { hash, doneBytes, totalBytes }: { hash: Hash; doneBytes: number; totalBytes: number | null },
): Promise<number> {
  const file = await open(partOf(wish), 'a', 0o600)
  let at = doneBytes
  try {
    for await (const piece of pieces(wish, response)) {
      await file.appendFile(piece)
      hash.update(piece)
      at += piece.length
      if (totalBytes !== null && at > totalBytes)
        throw new Damaged(`${wish.url} sends more than it said: ${totalBytes} bytes`)
      wish.onProgress?.(at, totalBytes)
    }
    return at
  } catch (error) {
    if (error instanceof Damaged) await discard(wish)
    if (isDiskFull(error)) throw noRoom(wish, error)
    throw error
  } finally {
    await file.close()
  }
}

/** The bytes as they come; a line that breaks is told apart from all else that can go wrong. */
async function* pieces({ url, signal }: DownloadRequest, response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader()
  try {
    while (reader) {
      const next = await reader.read().catch((error) => {
        signal.throwIfAborted()
        throw new Break(messageOf((error as Error).cause ?? error), { cause: error })
      })
      if (next.done) return
      yield next.value
    }
    throw new NotThere(`${url} was answered with nothing`)
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

async function conclude(wish: DownloadRequest, hash: Hash): Promise<void> {
  const { algorithm, digest } = wish.checksum
  const came = hash.digest('hex')
  if (came !== digest) {
    await discard(wish)
    throw new Damaged(
      `${wish.url} is damaged, or was replaced: its ${algorithm} is ${came}, and ${digest} is listed; nothing of it was kept`,
    )
  }
  await flush(partOf(wish))
  await rename(partOf(wish), wish.path)
  await rm(recordOf(wish), { force: true })
}

async function discard(wish: DownloadRequest): Promise<void> {
  await rm(partOf(wish), { force: true })
  await rm(recordOf(wish), { force: true })
}

async function checkRoom(wish: DownloadRequest, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(wish.path))
  if (bytes > bavail * bsize - reserveBytes) throw noRoom(wish)
}

function noRoom({ path, url }: DownloadRequest, cause?: unknown): Error {
  const text = `the disk of ${dirname(path)} has no room for ${url}: free some space there, then type the command again`
  return new Error(text, { cause: cause === undefined ? undefined : messageOf(cause) })
}

function brokenOff({ url }: DownloadRequest, keptBytes: number, cause: Error): Unreachable {
  return new Unreachable(
    `${url} broke off behind byte ${keptBytes} (${cause.message}); type the command again to go on from there`,
    { cause },
  )
}

function lengthIn(response: Response): number | null {
  const text = response.headers.get('content-length')
  return text !== null && /^\d+$/.test(text) ? Number(text) : null
}

async function lengthOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}
