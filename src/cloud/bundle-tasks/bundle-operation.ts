/**
 * The work behind BundleInstance: the root as one instant had it is packed, encrypted and written into the bucket part by
 * part, the manifest last. A bundle is there when its manifest is; when the work fails or is called off, all goes.
 */
import { createBundle } from '../../bundles/bundle.ts'
import { manifestMaxBytes } from '../../bundles/manifest.ts'
import { isDiskFull, isKilnError } from '../../lib/errors.ts'
import { version } from '../../lib/version.ts'
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { BundleTask, BundleTaskState } from '../../state/bundle-tasks.ts'
import type { Objects } from '../buckets/objects.ts'
import type { Certificates } from '../certificates/certificates.ts'
import type { CloudDeps } from '../deps.ts'
import type { FrozenRoots } from '../instance-store/frozen-roots.ts'
import { bundleNames } from './bundle-names.ts'

export const bundleKind = 'bundle-instance'

export interface BundleParts {
  deps: CloudDeps
  objects: Objects
  roots: FrozenRoots
  certificates: Certificates
}

type Context = StepContext<object, object>

const working: readonly BundleTaskState[] = ['pending', 'bundling', 'storing']
const cancelled = 'The bundle task was cancelled'

/** Bundling while it runs: how it is called off. */
export class BundleRuns {
  readonly #running = new Map<string, AbortController>()

  /** Breaks off what runs here; what runs elsewhere finds out when it next shows its progress. */
  interrupt(taskId: string): void {
    this.#running.get(taskId)?.abort(new OperationFailure(cancelled))
  }

  async during<T>(taskId: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const cancel = new AbortController()
    this.#running.set(taskId, cancel)
    try {
      return await work(AbortSignal.any([signal, cancel.signal]))
    } catch (error) {
      if (cancel.signal.aborted) throw cancel.signal.reason
      throw publicFailure(error)
    } finally {
      this.#running.delete(taskId)
    }
  }
}

export function bundleOperation(parts: BundleParts, runs: BundleRuns): OperationKind<object, object> {
  const { deps, objects, roots, certificates } = parts
  const { state, blocks, clock, random } = deps

  async function taskOf(id: string): Promise<BundleTask> {
    const task = await state.bundleTasks.get(id)
    if (task) return task
    throw new OperationFailure(`the bundle task ${id} is gone`)
  }

  /** Throws unless the task goes on. */
  async function show(id: string, patch: Partial<BundleTask>): Promise<void> {
    if (await state.bundleTasks.move(id, working, { ...patch, updatedAt: clock.now() })) return
    runs.interrupt(id)
    throw new OperationFailure(cancelled)
  }

  async function freeze({ subjectId: id }: Context): Promise<void> {
    const { instanceId } = await taskOf(id)
    await show(id, { state: 'bundling' })
    await roots.freeze(instanceId, id)
  }

  async function store(context: Context, signal: AbortSignal): Promise<void> {
    const { subjectId: id } = context
    const task = await taskOf(id)
    const instance = await state.instances.get(task.instanceId)
    if (!instance) throw new OperationFailure(`the instance ${task.instanceId} is gone`)
    const names = bundleNames(task.prefix)
    const put = async (filename: string, content: Buffer) => {
      if (task.policyExpiresAt !== null && clock.now() > task.policyExpiresAt) {
        throw new OperationFailure('the upload policy expired before the bundle was stored')
      }
      const place = { bucket: task.bucket, key: names.folder + filename }
      await objects.put(task.writerId, place, { content: once(content), acl: { canned: 'aws-exec-read' } })
    }
    const root = await roots.open(task.instanceId, id)
    try {
      // What lies behind the last byte that was ever written are zeros, which every root has there.
      const extents = await blocks.dataExtents(root, signal)
      const { start, bytes } = extents.at(-1)!
      const sizeBytes = start + bytes
      const { certificate, privateKey } = await certificates.cloudIdentity()
      let progress = 0
      let partsBegun = 0
      const { document } = await createBundle({
        image: { sizeBytes, extents, bytes: blocks.streamDisk({ ...root, extents }, signal) },
        name: names.image,
        user: task.accountId,
        bundler: { name: 'kiln', version, release: '0' },
        architecture: instance.architecture,
        blockDeviceMapping: [
          { virtual: 'ami', device: instance.rootDeviceName.replace('/dev/', '') },
          { virtual: 'root', device: instance.rootDeviceName },
        ],
        key: { key: random.bytes(16), iv: random.bytes(16) },
        userCertificatePem: certificate,
        cloudCertificatePem: certificate,
        signingKey: privateKey,
        async writePart(filename, content) {
          partsBegun++
          await context.progress(progress)
          await show(id, { state: 'storing', progress, partsBegun: Math.max(partsBegun, task.partsBegun) })
          await put(filename, content)
        },
        onProgress(readBytes, ofBytes) {
          progress = Math.min(99, Math.floor((100 * readBytes) / ofBytes))
        },
        signal,
      })
      const manifest = Buffer.from(document)
      if (manifest.length > manifestMaxBytes)
        throw new OperationFailure('the bundle has more parts than a manifest tells')
      await put(names.manifest, manifest)
    } finally {
      await root.close()
    }
  }

  /** Removes all that the task has written, the manifest first: no bundle may be there that lacks parts. */
  async function remove({ subjectId: id }: Context): Promise<void> {
    const { bucket, prefix, writerId, partsBegun } = await taskOf(id)
    if (partsBegun === 0) return
    const { folder, manifest, part } = bundleNames(prefix)
    const keys = [manifest, ...Array.from({ length: partsBegun }, (_, index) => part(index))].map(
      (name) => folder + name,
    )
    await objects.removeAll(writerId, bucket, keys).catch((error) => {
      // A bucket that is gone, or not theirs any more, keeps nothing of ours that we could take away.
      if (!isKilnError(error)) throw error
    })
  }

  return {
    kind: bundleKind,
    lane: 'transfers',
    steps: [
      {
        name: 'freeze',
        run: (context) => runs.during(context.subjectId, context.signal, () => freeze(context)),
      },
      {
        name: 'store',
        run: (context) => runs.during(context.subjectId, context.signal, (signal) => store(context, signal)),
        undo: remove,
      },
      { name: 'complete', run: ({ subjectId }) => show(subjectId, { state: 'complete', progress: 100 }) },
    ],
    async fail({ subjectId: id }, { message }) {
      const isCancelled = (await taskOf(id)).state === 'cancelling'
      const code = isCancelled ? 'Client.Cancelled' : 'Server.InternalError'
      const ended = { state: 'failed', errorCode: code, errorMessage: isCancelled ? cancelled : message } as const
      await state.bundleTasks.move(id, [...working, 'cancelling'], { ...ended, updatedAt: clock.now() })
    },
  }
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content
}

function publicFailure(error: unknown): unknown {
  if (isDiskFull(error)) return new OperationFailure('the disk of the host is full', { cause: error })
  if (isKilnError(error)) return new OperationFailure(`${error.code}: ${error.message}`, { cause: error })
  return error
}
