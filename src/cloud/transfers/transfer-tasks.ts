/** The tasks of imports and exports: listed, called off, and forgotten some time after their end. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { TransferDisk, TransferKind, TransferStatus, TransferTask } from '../../state/transfers.ts'
import { listAsked } from '../asked-ids.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Staging } from './staging.ts'
import type { TransferRuns } from './transfer-runs.ts'

export interface TransferView extends TransferTask {
  disks: TransferDisk[]
}

/** How long a task that ended can be asked for. */
const tasksKeptMs = 30 * 24 * 3600_000
/** How long a file waits here for its next piece, or to be fetched. */
const filesKeptMs = 3600_000

export class TransferTasks {
  readonly #deps: CloudDeps
  readonly #staging: Staging
  readonly #runs: TransferRuns

  constructor(deps: CloudDeps, staging: Staging, runs: TransferRuns) {
    this.#deps = deps
    this.#staging = staging
    this.#runs = runs
  }

  async list(
    { accountId, region }: Scope,
    kind: TransferKind,
    request: Omit<ListRequest, 'accountId'>,
  ): Promise<Page<TransferView>> {
    const { transfers } = this.#deps.state
    const page = await listAsked(
      (what: typeof request) => transfers.list(region, kind, { ...what, accountId }),
      request,
      ([id]) => unknownTask(kind, id!),
    )
    const disks = await transfers.disksOf(page.items.map((task) => task.id))
    return { ...page, items: page.items.map((task) => ({ ...task, disks: disks.get(task.id)! })) }
  }

  /** Any account's task, for whoever runs this Kiln. */
  async get(id: string): Promise<TransferView> {
    if (await this.#deps.state.transfers.get(id)) return await viewOf(this.#deps.state, id)
    throw unknownTask(id.startsWith('export') ? 'export-image' : 'import-image', id)
  }

  /**
   * Calls a task off: what it has made so far goes. Throws `IncorrectState` for one that has ended, and `Invalid…` for one
   * that the account does not have.
   */
  async cancel(
    scope: Scope,
    kinds: readonly TransferKind[],
    id: string,
    reason: string | null,
  ): Promise<{ before: TransferStatus; after: TransferStatus }> {
    const { state } = this.#deps
    const task = await state.transfers.get(id)
    const isOwn = task?.accountId === scope.accountId && task.region === scope.region
    if (!task || !isOwn || !kinds.includes(task.kind)) throw unknownTask(kinds[0]!, id)
    const statusMessage = reason ? `The task was canceled: ${reason.slice(0, 255)}` : 'The task was canceled'
    if (!(await state.transfers.move(id, ['active'], { status: 'deleting', statusMessage }))) {
      const { status } = (await state.transfers.get(id)) ?? task
      throw new KilnError('IncorrectState', `The task '${id}' is ${status}: only an active one can be canceled`)
    }
    this.#runs.interrupt(id)
    return { before: 'active', after: 'deleting' }
  }

  /** Forgets what ended long ago, and removes files that nobody came for. For a timer. */
  async removeLeftovers(): Promise<void> {
    const { state, clock } = this.#deps
    const nowMs = clock.now()
    const forgotten = await state.transaction(async (tx) => {
      const ids = await tx.transfers.removeEndedBefore(nowMs - tasksKeptMs)
      await tx.tags.removeAll(...ids)
      return ids
    })
    const waiting = new Set(await state.transfers.uploadsInUse())
    for (const { name, writtenAtMs } of await this.#staging.folders()) {
      const task = await state.transfers.get(name)
      const isNeeded = waiting.has(name) || task?.status === 'active' || task?.status === 'deleting'
      if (forgotten.includes(name) || (!isNeeded && writtenAtMs < nowMs - filesKeptMs)) await this.#staging.remove(name)
    }
  }
}

export async function viewOf(state: Repositories, id: string): Promise<TransferView> {
  return { ...(await state.transfers.get(id))!, disks: (await state.transfers.disksOf([id])).get(id)! }
}

/** In the caller's transaction. Throws `ResourceLimitExceeded`. */
export async function checkTransferCount(tx: Repositories, { accountId, region }: Scope): Promise<void> {
  if ((await tx.transfers.countActive(accountId, region)) < limits.transfersPerAccount) return
  throw new KilnError(
    'ResourceLimitExceeded',
    `There are ${limits.transfersPerAccount} active imports and exports in ${region} already: wait until one has ended`,
  )
}

function unknownTask(kind: TransferKind, id: string): KilnError {
  return kind === 'export-image'
    ? new KilnError('InvalidExportTaskID.NotFound', `The export task '${id}' does not exist.`)
    : new KilnError('InvalidConversionTaskId', `The import task '${id}' does not exist.`)
}
