/**
 * Bundles of running instance-store instances, made by the cloud. Source: BundleInstance, DescribeBundleTasks and
 * CancelBundleTask in the EC2 API reference.
 */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { type BundleTask, bundlingStates } from '../../state/bundle-tasks.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import { listAsked } from '../asked-ids.ts'
import type { Buckets } from '../buckets/buckets.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import { checkPrefix } from './bundle-names.ts'
import { type BundleParts, BundleRuns, bundleKind, bundleOperation } from './bundle-operation.ts'

export type { BundleTask }

export interface BundleRequest {
  instanceId: string
  bucket: string
  prefix: string
  /** Whoever signed the upload policy, or who asks. */
  writerId: string
  /** When the upload policy ends; null without one. */
  policyExpiresAtMs: number | null
}

/** How long a task that ended can be asked for. */
const tasksKeptMs = 7 * 24 * 3600_000

export class BundleTasks {
  readonly #deps: CloudDeps
  readonly #buckets: Buckets
  readonly #runs = new BundleRuns()

  constructor(deps: CloudDeps, parts: Omit<BundleParts, 'deps'> & { buckets: Buckets }) {
    this.#deps = deps
    this.#buckets = parts.buckets
    deps.operations.register(bundleOperation({ deps, ...parts }, this.#runs))
  }

  /** A task that bundles the root of a running instance, which goes on meanwhile. */
  async bundle(scope: Scope, request: BundleRequest): Promise<BundleTask> {
    const { state, operations, clock, random } = this.#deps
    const { instanceId, bucket, prefix, writerId, policyExpiresAtMs } = request
    const instance = await ownedInstance(state, scope, instanceId)
    if (instance.rootDeviceType !== 'instance-store') {
      throw new KilnError(
        'UnsupportedOperation',
        `The instance '${instanceId}' has an EBS root and cannot be bundled: make an image of it with CreateImage`,
      )
    }
    if (instance.state !== 'running') {
      throw new KilnError(
        'IncorrectInstanceState',
        `The instance '${instanceId}' is ${instance.state}: only a running one can be bundled`,
      )
    }
    checkPrefix(prefix)
    const now = clock.now()
    if (policyExpiresAtMs !== null && policyExpiresAtMs < now) {
      throw new KilnError('InvalidParameterValue', 'The policy has expired (Storage.S3.UploadPolicy)')
    }
    await this.#checkBucket(writerId, bucket)
    const task: BundleTask = {
      ...{ id: newId('bundleTask', random), ...scope, instanceId, writerId, bucket, prefix },
      policyExpiresAt: policyExpiresAtMs,
      state: 'pending',
      progress: 0,
      partsBegun: 0,
      errorCode: null,
      errorMessage: null,
      createdAt: now,
      updatedAt: now,
    }
    await state.transaction(async (tx) => {
      if (await tx.bundleTasks.underway(instanceId)) {
        throw new KilnError('BundlingInProgress', `The instance '${instanceId}' is being bundled already`)
      }
      if (await tx.bundleTasks.writing(bucket, prefix)) {
        throw new KilnError('BundlingInProgress', `Another instance is being bundled as '${prefix}' in '${bucket}'`)
      }
      await tx.bundleTasks.insert(task)
      await operations.enqueue(tx, { kind: bundleKind, subjectId: task.id, ...scope, input: {} })
    })
    operations.wake()
    return task
  }

  list({ accountId, region }: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<BundleTask>> {
    return listAsked(
      (what: typeof request) => this.#deps.state.bundleTasks.list(region, { ...what, accountId }),
      request,
      ([id]) => notFound(id!),
    )
  }

  /** Calls a task off: what it has written so far goes. Throws `IncorrectState` for one that has ended. */
  async cancel(scope: Scope, id: string): Promise<BundleTask> {
    const { state, clock } = this.#deps
    const task = owned(await state.bundleTasks.get(id), scope, () => notFound(id))
    const patch = { state: 'cancelling', updatedAt: clock.now() } as const
    if (!(await state.bundleTasks.move(id, bundlingStates, patch))) {
      const { state: now } = (await state.bundleTasks.get(id)) ?? task
      throw new KilnError('IncorrectState', `The bundle task '${id}' is ${now} and cannot be cancelled any more`)
    }
    this.#runs.interrupt(id)
    return { ...task, ...patch }
  }

  /** Forgets tasks that ended long ago. For a timer. */
  async removeLeftovers(): Promise<void> {
    const { state, clock } = this.#deps
    await state.bundleTasks.removeEndedBefore(clock.now() - tasksKeptMs)
  }

  async #checkBucket(writerId: string, bucket: string): Promise<void> {
    await this.#buckets.find(writerId, bucket, 'WRITE').catch((error) => {
      if (!isKilnError(error)) throw error
      throw new KilnError(
        'InvalidParameterValue',
        `The bucket '${bucket.slice(0, 100)}' (Storage.S3.Bucket) cannot be written: ${error.message} (${error.code})`,
      )
    })
  }
}

const notFound = (id: string) => new KilnError('InvalidBundleID.NotFound', `The bundle task '${id}' does not exist`)
