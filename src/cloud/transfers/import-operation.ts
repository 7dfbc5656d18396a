/**
 * The work behind ImportSnapshot and ImportImage: bring the file, find out what it is, read its disks into the region's
 * store, and make snapshots and the image of them. Each snapshot is written down as soon as its blocks are there, so what
 * was read once is not read again.
 */
import { rename, rm, stat } from 'node:fs/promises'
import { limits } from '../../lib/limits.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { TransferDisk, TransferTask } from '../../state/transfers.ts'
import type { Objects } from '../buckets/objects.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import type { Images } from '../images/images.ts'
import type { FoundDisk, ImageFormat } from '../ports.ts'
import { type Publication, publish } from '../regions/pulled-images.ts'
import type { Regions } from '../regions/regions.ts'
import { releaseIncrements } from '../snapshots/snapshot-charges.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { gib } from '../volumes/volume-disks.ts'
import { bootAreaBytes, bootProblem } from './boot-sector.ts'
import { writeSparse } from './sparse-file.ts'
import type { Staging } from './staging.ts'
import type { TransferRuns } from './transfer-runs.ts'
import type { Uploads } from './uploads.ts'

export const importKind = 'import'

/** How much of the progress fetching the file is, when it comes from a bucket. */
const fetchShare = 30

interface ImportDeps {
  deps: CloudDeps
  objects: Objects
  snapshots: Snapshots
  images: Images
  regions: Regions
  staging: Staging
  uploads: Uploads
  runs: TransferRuns
}

export interface ImportInput {
  publication?: Publication
}

type Context = StepContext<ImportInput, unknown>

export function importOperation(parts: ImportDeps): OperationKind<ImportInput, unknown> {
  const { deps, objects, snapshots, images, regions, staging, uploads, runs } = parts
  const { state, blocks, imageFiles, clock } = deps

  async function disksOf(taskId: string): Promise<TransferDisk[]> {
    return (await state.transfers.disksOf([taskId])).get(taskId)!
  }

  const containers = (disks: readonly TransferDisk[]) =>
    disks.filter((disk) => disk.position === 0 && disk.sourceSnapshotId === null)

  async function fetchAll(context: Context, task: TransferTask, signal: AbortSignal): Promise<void> {
    const files = containers(await disksOf(task.id)).filter((disk) => disk.bucket !== null)
    for (const [index, disk] of files.entries()) {
      const path = stagedPath(disk)
      if (await stat(path).catch(() => undefined)) continue
      await staging.folder(task.id)
      const { object, read, close } = await objects.open(task.accountId, { bucket: disk.bucket!, key: disk.objectKey! })
      try {
        await staging.checkRoom(object.sizeBytes)
        await state.transfers.updateDisk(disk, { fileBytes: object.sizeBytes })
        let doneBytes = 0
        const counted = async function* () {
          for await (const piece of read()) {
            const before = Math.floor((20 * doneBytes) / object.sizeBytes)
            doneBytes += piece.length
            const share = doneBytes / object.sizeBytes
            if (Math.floor(20 * share) > before) {
              await runs.show(context, ((index + share) / files.length) * fetchShare)
            }
            yield piece
          }
        }
        await writeSparse(`${path}.part`, object.sizeBytes, counted(), signal)
        await rename(`${path}.part`, path)
      } finally {
        await close()
      }
    }
  }

  function stagedPath({ taskId, container }: TransferDisk): string {
    return staging.pathOf(taskId, `file-${container}`)
  }

  async function fileOf(disk: TransferDisk): Promise<string> {
    return disk.uploadId ? (await uploads.file(disk.uploadId)).path : stagedPath(disk)
  }

  /** What each file holds; a row for each disk of it is written down. */
  async function inspectAll(task: TransferTask, signal: AbortSignal) {
    const found: { row: TransferDisk; path: string; disk: FoundDisk }[] = []
    const all = await disksOf(task.id)
    for (const first of containers(all)) {
      const path = await fileOf(first)
      const { disks, format } = await imageFiles.inspect(path, first.format as ImageFormat | null, signal)
      if (disks.length > 1 && task.kind === 'import-snapshot') {
        throw new UnusableImage(`an archive of ${disks.length} disks: a snapshot is made of one`)
      }
      const rows = disks.map(
        (_, position): TransferDisk =>
          all.find((row) => row.container === first.container && row.position === position) ?? {
            ...first,
            position,
            deviceName: null,
            snapshotId: null,
            progress: 0,
          },
      )
      await state.transaction(async (tx) => {
        await tx.transfers.updateDisk(first, { format })
        await tx.transfers.insertDisks(rows.filter((row) => !all.includes(row)))
      })
      for (const [position, disk] of disks.entries()) found.push({ row: rows[position]!, path, disk })
    }
    if (
      all.filter((row) => row.position === 0).length - containers(all).length + found.length >
      limits.disksPerInstance
    ) {
      throw new UnusableImage(`a machine of more than ${limits.disksPerInstance} disks`)
    }
    return found
  }

  async function convertAll(context: Context, task: TransferTask, signal: AbortSignal): Promise<void> {
    const found = await inspectAll(task, signal)
    const scratch = staging.pathOf(task.id, 'scratch')
    await staging.folder(task.id)
    for (const [index, { row, path, disk }] of found.entries()) {
      if (disk.sizeBytes < 1) throw new UnusableImage('a disk of no size')
      if (disk.sizeBytes > limits.volumeGibMax * gib) {
        throw new UnusableImage(`a disk of ${disk.sizeBytes} bytes: a volume has at most ${limits.volumeGibMax} GiB`)
      }
      const isRoot = row.container === 0 && row.position === 0
      if (isRoot && task.kind === 'import-image') {
        const start = await imageFiles.startOf(path, disk, bootAreaBytes, `${scratch}-start`)
        const isPartitioned = context.input.publication?.isPartitioned ?? true
        const problem = bootProblem(start, disk.sizeBytes, isPartitioned)
        if (problem) throw new OperationFailure(`ClientError: ${problem}`)
      }
      if (row.snapshotId) continue
      await state.transfers.move(task.id, ['active'], { statusMessage: 'converting' })
      const onPercent = async (percent: number) => {
        await state.transfers.updateDisk(row, { progress: Math.round(percent) })
        await runs.show(context, fetchShare + ((index + percent / 100) / found.length) * (95 - fetchShare))
      }
      const { publication } = context.input
      await capture({ task, row, publication }, { path, disk, scratch: `${scratch}-${index}` }, { onPercent, signal })
    }
  }

  async function capture(
    { task, row, publication }: { task: TransferTask; row: TransferDisk; publication: Publication | undefined },
    { path, disk, scratch }: { path: string; disk: FoundDisk; scratch: string },
    progress: { onPercent: (percent: number) => Promise<void>; signal: AbortSignal },
  ): Promise<void> {
    const { region, dataKeyId } = task
    const sizeGib = Math.ceil(disk.sizeBytes / gib)
    const sizeBytes = sizeGib * gib
    const sealKey = await blockKeyOf(deps, task.accountId, dataKeyId)
    const source = await imageFiles.openForReading(path, disk, sizeBytes, scratch)
    try {
      const { root, info, stats } = await blocks.capture({ region, source, sizeBytes, parent: null, sealKey }, progress)
      await state.transaction(async (tx) => {
        const description = task.kind === 'import-snapshot' ? (task.description ?? '') : describe(task)
        const snapshot = await snapshots.insertUpload(tx, scopeOf(task), {
          sizeGib,
          dataKeyId,
          description,
          tags: [],
        })
        await tx.snapshots.move(snapshot.id, ['pending'], {
          state: 'completed',
          ownerAlias: publication?.ownerAlias ?? null,
          progress: 100,
          rootHash: root,
          dataBytes: info.dataBytes,
          storedBytes: stats.bytesStored,
          // Nobody here is the publisher, who would be charged for it.
          chargedBytes: publication ? 0 : info.dataBytes,
          completedAt: clock.now(),
        })
        await tx.transfers.updateDisk(row, { snapshotId: snapshot.id, progress: 100 })
      })
      await blocks.settle(region, root)
    } finally {
      await source.close()
    }
  }

  async function complete(task: TransferTask, { publication }: ImportInput): Promise<void> {
    const done = { status: 'completed', statusMessage: null, progress: 100, endedAt: clock.now() } as const
    const canceled = () => new OperationFailure('The task was canceled')
    if (task.kind === 'import-snapshot') {
      if (!(await state.transfers.move(task.id, ['active'], done))) throw canceled()
      return
    }
    const disks = await disksOf(task.id)
    const devices = namedDevices(disks)
    await images.register(
      scopeOf(task),
      {
        ...(publication ? publicMachine : machine),
        name: task.imageName!,
        description: task.description,
        rootDeviceName: devices[0]!.deviceName,
        bootMode: publication ? 'legacy-bios' : task.bootMode,
        devices: devices.map(({ deviceName, snapshotId }) => ({
          deviceName,
          noDevice: false,
          ebs: publication ? { snapshotId, volumeType: 'gp3' } : { snapshotId },
        })),
        tags: [],
      },
      async (tx, imageId) => {
        if (!(await tx.transfers.move(task.id, ['active'], { ...done, imageId }))) throw canceled()
        for (const { row, deviceName } of devices) await tx.transfers.updateDisk(row, { deviceName })
        if (!publication) return
        const made = { imageId, imageName: task.imageName!, fileBytes: disks[0]!.fileBytes ?? 0, pulledAt: clock.now() }
        await publish(tx, publication, { ...scopeOf(task), ...made })
      },
    )
  }

  /** Files are gone; what was made and belongs to nothing goes too. */
  async function clear(taskId: string): Promise<void> {
    for (const disk of await disksOf(taskId)) if (disk.uploadId) await staging.remove(disk.uploadId)
    await staging.remove(taskId)
  }

  async function discardSnapshots(taskId: string): Promise<void> {
    for (const disk of await disksOf(taskId)) {
      const { snapshotId } = disk
      if (!snapshotId || disk.sourceSnapshotId) continue
      await releaseIncrements(deps, snapshotId, async (tx) => {
        if ((await tx.images.usingSnapshot(snapshotId)).length > 0) return false
        await tx.transfers.updateDisk(disk, { snapshotId: null })
        return await tx.snapshots.move(snapshotId, ['completed'], { state: 'deleted' })
      })
    }
  }

  return {
    kind: importKind,
    lane: 'transfers',
    steps: [
      {
        name: 'fetch',
        run: (context) => runs.step(context, 'downloading', (task, signal) => fetchAll(context, task, signal)),
        undo: async ({ subjectId }) => {
          for (const disk of await disksOf(subjectId)) await rm(`${stagedPath(disk)}.part`, { force: true })
        },
      },
      {
        name: 'convert',
        run: (context) => runs.step(context, 'validating', (task, signal) => convertAll(context, task, signal)),
        undo: ({ subjectId }) => discardSnapshots(subjectId),
      },
      { name: 'complete', run: (context) => runs.step(context, 'preparing', (task) => complete(task, context.input)) },
      { name: 'clear', run: ({ subjectId }) => clear(subjectId) },
      {
        name: 'spread',
        run: async ({ input, signal }) => {
          if (input.publication) await regions.spreadPulled(signal)
        },
      },
    ],
    async fail({ subjectId }, failure) {
      await clear(subjectId)
      await runs.fail({ subjectId }, failure)
    },
  }
}

const scopeOf = ({ accountId, region }: TransferTask): Scope => ({ accountId, region })

const describe = (task: TransferTask) => `Created by the import ${task.id} for ${task.imageName}`

/** What every machine here is like. */
const machine = {
  architecture: 'x86_64',
  virtualizationType: 'hvm',
  enaSupport: false,
  sriovNetSupport: null,
  imdsSupport: null,
  tpmSupport: null,
}

/** Publishers prepare their images for EC2's network devices too. */
const publicMachine = { ...machine, enaSupport: true, sriovNetSupport: 'simple' }

/** Where the disks are attached: as the caller wished, and the others at EC2's usual places. */
function namedDevices(disks: readonly TransferDisk[]): { row: TransferDisk; deviceName: string; snapshotId: string }[] {
  const taken = new Set(disks.map((disk) => disk.deviceName))
  const free = ['/dev/sda1', ...'bcdefghijklmnopqrstuvwxyz'].map((place) =>
    place.length > 1 ? place : `/dev/sd${place}`,
  )
  return disks.map((row) => {
    const deviceName = row.deviceName ?? free.find((place) => !taken.has(place))!
    taken.add(deviceName)
    return { row, deviceName, snapshotId: (row.snapshotId ?? row.sourceSnapshotId)! }
  })
}
