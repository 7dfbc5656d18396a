/** Imports and exports while they run: how they are called off, and what their failures say. */
import { isDiskFull, isKilnError } from '../../lib/errors.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import { type Failure, OperationFailure, type StepContext } from '../../operations/operation.ts'
import type { TransferTask } from '../../state/transfers.ts'
import type { CloudDeps } from '../deps.ts'
import type { Staging } from './staging.ts'

type Context = Pick<StepContext<unknown, unknown>, 'subjectId' | 'signal' | 'progress'>

const canceled = 'The task was canceled'

export class TransferRuns {
  readonly #deps: CloudDeps
  readonly #staging: Staging
  readonly #running = new Map<string, AbortController>()

  constructor(deps: CloudDeps, staging: Staging) {
    this.#deps = deps
    this.#staging = staging
  }

  /** Breaks off what runs here; what runs elsewhere finds out when it next shows its progress. */
  interrupt(taskId: string): void {
    this.#running.get(taskId)?.abort(new OperationFailure(canceled))
  }

  /** Does a step's work, unless the task was called off: then, and when it is meanwhile, the step fails for good. */
  async step(context: Context, doing: string, work: (task: TransferTask, signal: AbortSignal) => Promise<void>) {
    const { state } = this.#deps
    const { subjectId: id } = context
    const cancel = new AbortController()
    this.#running.set(id, cancel)
    try {
      const task = await state.transfers.get(id)
      if (!task) throw new OperationFailure(`the task ${id} is gone`)
      // Of a step that is done again after all was done already.
      if (task.status === 'completed') return
      if (!(await state.transfers.move(id, ['active'], { statusMessage: doing }))) throw new OperationFailure(canceled)
      await work(task, AbortSignal.any([context.signal, cancel.signal]))
    } catch (error) {
      if (cancel.signal.aborted) throw cancel.signal.reason
      throw publicFailure(error)
    } finally {
      this.#running.delete(id)
    }
  }

  /** Shows how far a task is. */
  async show({ subjectId, progress }: Context, percent: number): Promise<void> {
    const whole = Math.min(99, Math.round(percent))
    await progress(whole)
    if (!(await this.#deps.state.transfers.move(subjectId, ['active'], { progress: whole }))) this.interrupt(subjectId)
  }

  /** What every failed task leaves: its reason, and no files. */
  async fail({ subjectId }: Pick<Context, 'subjectId'>, { message }: Failure): Promise<void> {
    const { state, clock } = this.#deps
    const task = await state.transfers.get(subjectId)
    await this.#staging.remove(subjectId)
    if (!task) return
    // EC2 has no word for an import or export of an image that failed: it is `deleted`, and the message says why.
    const isError = task.status === 'active' && task.kind === 'import-snapshot'
    await state.transfers.move(subjectId, ['active', 'deleting'], {
      status: isError ? 'error' : 'deleted',
      statusMessage: task.status === 'deleting' ? (task.statusMessage ?? canceled) : message,
      endedAt: clock.now(),
    })
  }
}

/** Failures that trying again cannot mend, in words for whoever asked. */
function publicFailure(error: unknown): unknown {
  if (error instanceof UnusableImage) return new OperationFailure(`ClientError: ${error.message}`, { cause: error })
  if (isDiskFull(error) || isKilnError(error, 'Unavailable')) {
    return new OperationFailure('ServerError: the disk of the host is full', { cause: error })
  }
  if (isKilnError(error)) return new OperationFailure(`ClientError: ${error.message}`, { cause: error })
  return error
}
