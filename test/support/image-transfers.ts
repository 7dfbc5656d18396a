/** Imports and exports of an account on a served cloud: files in a bucket, and tasks that come to their end. */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  DescribeExportImageTasksCommand,
  DescribeImportImageTasksCommand,
  DescribeImportSnapshotTasksCommand,
  DescribeSnapshotsCommand,
  type ExportImageTask,
  ImportImageCommand,
  type ImportImageCommandInput,
  type ImportImageTask,
  ImportSnapshotCommand,
  type ImportSnapshotCommandInput,
  type SnapshotTaskDetail,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from './caller.ts'
import { convertTo, type MadeFormat, writeBootableDisk } from './disk-images.ts'
import { type ServedCloud, useServedCloud } from './served-cloud.ts'

const timing = { everyMs: 30, timeoutMs: 120_000 }
export const account = '000000000001'
export const region = 'eu-west-1'
export const bucket = 'images-of-tests'

/** One cloud, one account, one bucket and one disk (`disk.raw`) for all tests of a file. */
export function useTransfers() {
  let caller: Caller
  let folder: string
  /** Holds captures back, or fails them. */
  const faults = { onCapture: async (_signal?: AbortSignal): Promise<void> => {} }
  const served = useServedCloud({
    isLive: true,
    wrapBlocks: (blocks) => ({
      ...blocks,
      async capture(request, progress) {
        await faults.onCapture(progress?.signal)
        return await blocks.capture(request, progress)
      },
    }),
  })
  const place = (name: string) => join(folder, name)

  beforeAll(async () => {
    caller = await callerOf(served(), account)
    folder = await mkdtemp(join(tmpdir(), 'kiln-transfers-'))
    await served().cloud.buckets.create({ accountId: account, region }, bucket, { canned: 'private' })
    await writeBootableDisk(place('disk.raw'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  async function ended<T>(id: string, probe: () => Promise<(T & { Status?: string }) | undefined>): Promise<T> {
    const isOver = async () => {
      const found = await probe()
      return found?.Status === 'active' || found?.Status === 'deleting' ? undefined : found
    }
    const found = await waitFor(systemClock, isOver, timing)
    if (!found) throw new Error(`${id} came to no end`)
    return found
  }

  async function putFile(key: string, path: string): Promise<void> {
    const content = createReadStream(path) as AsyncIterable<Uint8Array>
    await served().cloud.objects.put(account, { bucket, key }, { content })
  }

  return {
    served: (): ServedCloud => served(),
    caller: () => caller,
    faults,
    place,
    putFile,
    async getFile(key: string, path: string): Promise<void> {
      const object = await served().cloud.objects.open(account, { bucket, key })
      await pipeline(object.read(), createWriteStream(path))
    },
    /** `disk.raw` in another format, in the bucket; its key. */
    async putDisk(format: MadeFormat, key = `disk.${format}`): Promise<string> {
      await convertTo(format, place('disk.raw'), place('converted'))
      await putFile(key, place('converted'))
      return key
    },
    importSnapshot: (container: ImportSnapshotCommandInput['DiskContainer'], more: ImportSnapshotCommandInput = {}) =>
      caller.ec2.send(new ImportSnapshotCommand({ DiskContainer: container, ...more })),
    importImage: (containers: ImportImageCommandInput['DiskContainers'], more: ImportImageCommandInput = {}) =>
      caller.ec2.send(new ImportImageCommand({ DiskContainers: containers, ...more })),
    /** The task, once it has ended. */
    imageTask: (id: string) =>
      ended<ImportImageTask>(id, async () => {
        const ask = new DescribeImportImageTasksCommand({ ImportTaskIds: [id] })
        return (await caller.ec2.send(ask)).ImportImageTasks![0]!
      }),
    snapshotTask: (id: string) =>
      ended<SnapshotTaskDetail>(id, async () => {
        const ask = new DescribeImportSnapshotTasksCommand({ ImportTaskIds: [id] })
        return (await caller.ec2.send(ask)).ImportSnapshotTasks![0]!.SnapshotTaskDetail!
      }),
    exportTask: (id: string) =>
      ended<ExportImageTask>(id, async () => {
        const ask = new DescribeExportImageTasksCommand({ ExportImageTaskIds: [id] })
        return (await caller.ec2.send(ask)).ExportImageTasks![0]!
      }),
    /** No file of any import or export is left, and no work either. */
    async expectNothingStaged(): Promise<void> {
      await caller.quiet()
      expect(await readdir(served().deps.transfersDir)).toEqual([])
    },
    snapshotCount: async () =>
      (await caller.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))).Snapshots!.length,
  }
}

export const object = (key: string) => ({ S3Bucket: bucket, S3Key: key })
