/** The blocks room as the cloud sees it: {@link SnapshotBlocks} over one local store a region and one block server. */
import { join } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { MasterKey } from '../lib/master-key.ts'
import { capture } from './capture.ts'
import { copySnapshot } from './copy.ts'
import type { SealedDisks } from './disk-file.ts'
import { dataExtents, streamDisk } from './disk-stream.ts'
import { formatExportName, wrapKey } from './export-name.ts'
import { materialize } from './materialize.ts'
import { packSnapshots, unpackSnapshots } from './packed-snapshots.ts'
import type { SnapshotBlocks, UnpackedSnapshot } from './ports.ts'
import { RegionStores } from './region-stores.ts'
import { repackSnapshot } from './repack.ts'
import { resealSnapshot } from './reseal.ts'
import { BlockServerProcess, type ServerProcessControl } from './server-process.ts'
import { createSnapshotContents } from './snapshot-contents.ts'
import { infoOf, readRoot } from './snapshot-objects.ts'
import { createStoreCare } from './store-care.ts'
import type { StoreFiles } from './store-files.ts'
import { verifySnapshot } from './verify.ts'
import { forgetVolumeReads, readVolumeReads } from './volume-reads.ts'

/**
 * A region in name only: images that every region gets are captured into its store once and copied from there. Copies
 * from it are hard links where the file system allows, so opening a region takes no space; they outlive the seed store.
 */
export const seedRegion = 'seed'

export interface SnapshotBlocksOptions {
  /** Region stores lie in DIR/REGION/store. */
  regionsDir: string
  /** Holds the block server's socket `blocks.sock`, its pidfile and its log. Short: socket paths end at 107 bytes. */
  runDir: string
  /** Holds one file of counters a volume. */
  statsDir: string
  /** The keys of sealed snapshots reach the block server under it; without it none can be served. */
  masterKey?: MasterKey
  server: ServerProcessControl
  sealedDisks: SealedDisks
  /** `sync -f PATH`: everything on the file system that holds the path is on stable storage when it resolves. */
  syncFilesystem: (path: string) => Promise<void>
  log: Log
  clock: Clock
  /** The disk below the stores; tests bring one that fails. */
  files?: StoreFiles
}

export interface LocalSnapshotBlocks extends SnapshotBlocks {
  /** Brings the block server back if it died. For a timer: guests wait a minute for it. Nothing after `stopServer`, until the next `serve`. */
  superviseServer(): Promise<void>
}

export function createSnapshotBlocks(options: SnapshotBlocksOptions): LocalSnapshotBlocks {
  const { regionsDir, runDir, statsDir, masterKey, sealedDisks, syncFilesystem, log, clock, files } = options
  const socketPath = join(runDir, 'blocks.sock')
  const logPath = join(runDir, 'blocks.log')
  const server = new BlockServerProcess({
    socketPath,
    logPath,
    regionsDir,
    statsDir,
    keyFile: masterKey?.path,
    control: options.server,
    log,
    clock,
  })
  const stores = new RegionStores({ regionsDir, syncFilesystem, clock, files })
  let serverWanted = true

  return {
    contents: createSnapshotContents(stores, clock),
    ...createStoreCare({ stores, statsDir, clock }),

    async openRegion(region) {
      await stores.open(region)
    },

    capture: ({ region, source, sizeBytes, parent, sealKey }, progress = {}) =>
      stores.holding([region], async () => {
        const store = await stores.existing(region)
        // What the parent names may be missing from a store with gaps: then everything is read, which also fills them.
        const trusted = parent && !(await store.hasGaps()) ? parent : null
        const captured = await capture({ store, source, sizeBytes, parent: trusted, sealKey }, progress, clock)
        stores.recent(region).remember('roots', captured.root)
        return captured
      }),

    copy: ({ root, fromRegion, toRegion }, progress = {}) =>
      stores.holding([fromRegion, toRegion], async () => {
        const [source, target] = [await stores.existing(fromRegion), await stores.existing(toRegion)]
        const mayLink = fromRegion === seedRegion
        const stats = await copySnapshot({ root, source, target, mayLink }, progress, clock)
        stores.recent(toRegion).remember('roots', root)
        return stats
      }),

    reseal: ({ root, fromRegion, toRegion, fromKey, toKey }, progress = {}) =>
      stores.holding([fromRegion, toRegion], async () => {
        const [source, target] = [await stores.existing(fromRegion), await stores.existing(toRegion)]
        const resealed = await resealSnapshot({ root, source, target, fromKey, toKey }, progress, clock)
        stores.recent(toRegion).remember('roots', resealed.root)
        return resealed
      }),

    async settle(region, root) {
      stores.recent(region).settle('roots', root)
    },

    async materialize({ region, diskKey, ...request }, progress = {}) {
      const seal = diskKey && { disks: sealedDisks, key: diskKey }
      await materialize({ store: await stores.existing(region), ...request, seal }, progress, clock)
    },

    async info(region, root) {
      return infoOf(await readRoot(await stores.existing(region), root))
    },

    repack: ({ region, ...request }, progress = {}) =>
      stores.holding([region], async () =>
        repackSnapshot({ store: await stores.existing(region), ...request }, progress, clock),
      ),

    async *pack({ region, snapshots }, progress = {}) {
      yield* packSnapshots(await stores.existing(region), snapshots, progress, clock)
    },

    unpack: ({ region, onSnapshot, ...request }, progress = {}) =>
      stores.holding([region], async () => {
        const keep = async (index: number, unpacked: UnpackedSnapshot) => {
          stores.recent(region).remember('roots', unpacked.root)
          await onSnapshot(index, unpacked)
        }
        const store = await stores.existing(region)
        await unpackSnapshots({ store, ...request, onSnapshot: keep }, progress, clock)
      }),

    dataExtents,
    streamDisk,

    async verify({ region, root }, progress = {}) {
      await verifySnapshot(await stores.existing(region), root, progress, clock)
    },

    async serve({ region, root, volumeId, sealKey = null }) {
      if (sealKey && !masterKey) throw new Error('a sealed snapshot cannot be served without a master key')
      const wrappedKey = sealKey && wrapKey(masterKey!, { region, root, volumeId }, sealKey)
      const exportName = formatExportName({ region, root, volumeId, wrappedKey })
      // Whoever is about to open the export would only learn that it cannot be had, after a while.
      await readRoot(await stores.existing(region), root)
      serverWanted = true
      await server.ensure()
      return { socketPath, exportName }
    },

    async volumeReads(volumeId) {
      return await readVolumeReads(statsDir, volumeId)
    },

    async forgetVolume(volumeId) {
      await forgetVolumeReads(statsDir, volumeId)
    },

    async superviseServer() {
      if (serverWanted) await server.ensure()
    },

    async stopServer() {
      serverWanted = false
      await server.end()
    },
  }
}
