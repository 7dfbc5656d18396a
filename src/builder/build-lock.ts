/**
 * One builder, or download of a file, at a time in a cache. The lock only saves work: results appear by rename under names
 * that their inputs decide, so two that both believed to hold it would still leave one whole image.
 */
import { randomUUID } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { type Clock, waitFor } from '../lib/clock.ts'
import { isAlive, type ProcessRef, startTicksOf } from '../lib/programs.ts'

const timing = { everyMs: 100, timeoutMs: 15 * 60_000 }

/** Runs `work` while the file at `path` names this process; waits for another living holder, takes over a dead one's. */
export async function withBuildLock<T>(path: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const taken = await waitFor(clock, () => take(path), timing)
  if (!taken) throw new Error(`another process has been at it for ${timing.timeoutMs / 60_000} minutes: see ${path}`)
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function take(path: string): Promise<true | undefined> {
  const self: ProcessRef = { pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 }
  // Linked, not written in place: nobody ever reads a lock that does not name its holder yet.
  const own = `${path}-${randomUUID()}`
  await writeFile(own, JSON.stringify(self))
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(own, { force: true })
  }
  if (!(await heldByTheLiving(path))) await rm(path, { force: true })
  return undefined
}

async function heldByTheLiving(path: string): Promise<boolean> {
  try {
    return isAlive(JSON.parse(await readFile(path, 'utf8')) as ProcessRef)
  } catch {
    return false
  }
}
