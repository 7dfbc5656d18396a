/** Files on their way to the daemon, and the tasks that become of them. */
import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { systemClock } from '../lib/clock.ts'
import type { DaemonPage } from '../server.ts'
import { control, controlBytes } from './daemon.ts'
import { UsageError } from './failure.ts'
import { showLine } from './jobs.ts'
import { onStopSignals } from './stop-signals.ts'

const pollMs = 300

/** A task as the daemon tells it. */
export interface Task {
  id: string
  status: 'active' | 'completed' | 'deleting' | 'deleted' | 'error'
  statusMessage: string | null
  progress: number
  imageId: string | null
  disks: { snapshotId: string | null; format: string | null }[]
}

/** Sends what of the file is not zeros. The id under which the daemon has it. */
export async function sendFile(page: DaemonPage, file: string): Promise<string> {
  const { size: totalBytes } = await stat(file)
  const source = await open(file, 'r')
  try {
    if (!(await source.stat()).isFile()) throw new UsageError(`${file} is no file`)
    const { id, pieceBytes } = await control<{ id: string; pieceBytes: number }>(
      page,
      `/_kiln/uploads?bytes=${totalBytes}`,
      'POST',
    )
    const stop = new AbortController()
    const forget = onStopSignals(
      () => stop.abort(new Error('it was stopped')),
      () => process.exit(1),
    )
    try {
      const buffer = Buffer.alloc(Math.min(pieceBytes, totalBytes))
      const zeros = Buffer.alloc(buffer.length)
      for (let at = 0; at < totalBytes; ) {
        stop.signal.throwIfAborted()
        const { bytesRead } = await source.read(buffer, 0, buffer.length, at)
        if (bytesRead === 0) throw new Error(`${file} became shorter while it was read`)
        const piece = buffer.subarray(0, bytesRead)
        if (!piece.equals(zeros.subarray(0, bytesRead))) {
          await controlBytes(page, `/_kiln/uploads/${id}?offset=${at}`, 'PUT', piece)
        }
        at += bytesRead
        showLine(`sending ${basename(file)} … ${Math.floor((100 * at) / totalBytes)}%`)
      }
      return id
    } catch (error) {
      await control(page, `/_kiln/uploads/${id}`, 'DELETE').catch(() => {})
      throw error
    } finally {
      forget()
      showLine('')
    }
  } finally {
    await source.close()
  }
}

/** Follows a task to its end; Ctrl-C calls it off. Throws with its reason when it fails. */
export async function followTask(page: DaemonPage, task: Task, doing: string): Promise<Task> {
  const path = `/_kiln/transfers/${task.id}`
  const forget = onStopSignals(
    () => void control(page, path, 'DELETE').catch(() => {}),
    () => process.exit(1),
  )
  let now = task
  try {
    while (now.status === 'active' || now.status === 'deleting') {
      showLine(`${doing} … ${now.progress}%`)
      await systemClock.sleep(pollMs)
      now = await control<Task>(page, path)
    }
  } finally {
    forget()
    showLine('')
  }
  if (now.status === 'completed') return now
  throw new Error(now.statusMessage ?? `${task.id} came to nothing`)
}
