/** Work of the daemon that takes longer than a request: started, followed on a terminal, and stopped with Ctrl-C. */
import { systemClock } from '../lib/clock.ts'
import type { DaemonPage } from '../server.ts'
import { control } from './daemon.ts'
import { onStopSignals } from './stop-signals.ts'

interface JobView<T> {
  id: string
  percent: number
  isDone: boolean
  result?: T
  error?: string
}

const firstPollMs = 50
const pollMs = 300

/** The job's result. Throws with the daemon's words when it refuses the job, or the job fails. `doing` is shown meanwhile. */
export async function runJob<T>(page: DaemonPage, path: string, doing: string): Promise<T> {
  let job = await control<JobView<T>>(page, path, 'POST')
  const jobPath = `/_kiln/jobs/${job.id}`
  onStopSignals(
    () => void control(page, jobPath, 'DELETE').catch(() => {}),
    () => process.exit(1),
  )
  for (let waitMs = firstPollMs; !job.isDone; waitMs = pollMs) {
    showLine(`${doing} … ${job.percent}%`)
    await systemClock.sleep(waitMs)
    job = await control<JobView<T>>(page, jobPath)
  }
  showLine('')
  if (job.error !== undefined) throw new Error(job.error)
  return job.result as T
}

/** The same for work that is done in this process. */
export async function runHere<T>(
  work: (progress: { onPercent(percent: number): void; signal: AbortSignal }) => Promise<T>,
  doing: string,
): Promise<T> {
  const stop = new AbortController()
  onStopSignals(
    () => stop.abort(new Error('it was stopped')),
    () => process.exit(1),
  )
  try {
    return await work({ onPercent: (percent) => showLine(`${doing} … ${Math.floor(percent)}%`), signal: stop.signal })
  } finally {
    showLine('')
  }
}

/** One line that is written over by the next, where a person watches. */
export function showLine(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
}
