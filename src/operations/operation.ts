/**
 * Durable work: anything that outlasts a request.
 *
 * A request writes an operation in the same transaction as the rows it concerns, and answers. From then on the operation
 * is carried out step by step, by whoever holds its lease. What keeps it safe:
 *
 * - Each step may run again from its beginning, after a crash or a retry, and comes to the same end.
 * - `data` is what steps tell each other; it is saved with every step that ends.
 * - Operations on one subject run one after the other, in the order they were asked for.
 * - A step that fails for good is followed by `undo` of the steps before it, in reverse, then by `fail`, which gives the
 *   subject its failed state and the reason. Both may run again too.
 */
import type { Log } from '../lib/log.ts'

export interface StepContext<Input, Data> {
  readonly operationId: string
  readonly subjectId: string
  readonly accountId: string
  readonly region: string
  /** How often this step was tried, this time included. */
  readonly attempt: number
  readonly input: Input
  /** May be changed; saved when the step ends. */
  readonly data: Partial<Data>
  /** Aborted when the process is asked to stop: leave, and the step runs again at the next start. */
  readonly signal: AbortSignal
  readonly log: Log
  /** 0 to 100; shown to users. Throws when the lease was lost. */
  progress(percent: number): Promise<void>
}

/** What a step may ask for instead of being done: to be run again after a while (waiting is not failing). */
export interface Again {
  againInMs: number
}

export interface Step<Input, Data> {
  name: string
  // biome-ignore lint/suspicious/noConfusingVoidType: most steps just end.
  run(context: StepContext<Input, Data>): Promise<Again | void>
  /** Takes back what `run` did or half did. Must be harmless when it did nothing. */
  undo?(context: StepContext<Input, Data>): Promise<void>
}

export interface Failure {
  step: string
  /** Public: what went wrong, for the user who asked. */
  message: string
}

export interface OperationKind<Input = unknown, Data = unknown> {
  kind: string
  /** Operations that compete for the same thing share a lane, which bounds how many run at once. */
  lane: string
  steps: readonly Step<Input, Data>[]
  fail(context: StepContext<Input, Data>, failure: Failure): Promise<void>
}

/** Throw this from a step when trying again cannot help. The message is public. */
export class OperationFailure extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'OperationFailure'
  }
}

export interface NewOperation<Input> {
  kind: string
  subjectId: string
  accountId: string
  region: string
  input: Input
}
