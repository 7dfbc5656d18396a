/**
 * The composition root: the only file that knows every room, and the only one that says which driver stands behind a
 * port. {@link openKiln} puts a home's cloud together; {@link Kiln.serve} lets the world in.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { createCeService } from './api/ce/service.ts'
import { controlHandler } from './api/control/control.ts'
import { ControlJobs } from './api/control/jobs.ts'
import { createEbsService } from './api/ebs/service.ts'
import { ec2Handlers } from './api/ec2/handlers/index.ts'
import { createEc2Service } from './api/ec2/service.ts'
import type { AuthSettings } from './api/http/exchange.ts'
import { keyLookup } from './api/http/issued-keys.ts'
import { createApiServer } from './api/http/server.ts'
import { createIamService } from './api/iam/service.ts'
import { imdsSource } from './api/imds/cloud-source.ts'
import { createImdsServer } from './api/imds/imds-server.ts'
import { createKmsService } from './api/kms/service.ts'
import { createPricingService } from './api/pricing/service.ts'
import { createQuotasService } from './api/quotas/service.ts'
import { createS3Service } from './api/s3/service.ts'
import { createStsService } from './api/sts/service.ts'
import { createSnapshotBlocks, type LocalSnapshotBlocks, seedRegion } from './blocks/snapshot-blocks.ts'
import { CorruptObject } from './blocks/store.ts'
import { buildKilnLinux, type KilnLinuxImage } from './builder/kiln-linux/build.ts'
import { bundleKilnLinux } from './builder/kiln-linux/root-bundle.ts'
import { AccessKeys } from './cloud/access-keys.ts'
import { type Cloud, createCloud } from './cloud/cloud.ts'
import { type CloudDeps, defaultTiming } from './cloud/deps.ts'
import { openMasterKey } from './cloud/encryption/master-key.ts'
import { chargeRules } from './cloud/metering/charge-rules.ts'
import { type CostReport, Costs } from './cloud/metering/costs.ts'
import { liveThrough } from './cloud/metering/scenario/life.ts'
import type { Scenario } from './cloud/metering/scenario/scenario.ts'
import type { PublicBundle } from './cloud/regions/public-bundles.ts'
import type { PublicImage } from './cloud/regions/regions.ts'
import { Collection } from './cloud/snapshots/collection.ts'
import { liveSetOf } from './cloud/snapshots/live-set.ts'
import { type RegionChecked, StoreCheck } from './cloud/snapshots/store-check.ts'
import { type Clock, type HostUptime, systemClock, systemUptime } from './lib/clock.ts'
import { messageOf } from './lib/errors.ts'
import { type Home, homeAt } from './lib/home.ts'
import type { Log } from './lib/log.ts'
import type { MasterKey } from './lib/master-key.ts'
import { endProcess, isAlive, run, startDetached, startTicksOf } from './lib/programs.ts'
import { systemRandom } from './lib/random.ts'
import { version } from './lib/version.ts'
import { VirtualTime } from './lib/virtual-clock.ts'
import type { DiskTools, MachineDriver } from './machines/driver.ts'
import { probeHost } from './machines/qemu/accelerator.ts'
import { createDiskTools } from './machines/qemu/disk-tools.ts'
import { createQemuDriver } from './machines/qemu/driver.ts'
import { createImageFileTools } from './machines/qemu/image-files.ts'
import { createSharedDisks } from './machines/qemu/shared-disks.ts'
import { createSimulatedDriver } from './machines/simulated/driver.ts'
import type { NetworkDriver, NetworkProbe } from './network/driver.ts'
import { createNamespaceDriver } from './network/namespace/namespace-driver.ts'
import { probeNamespaces } from './network/namespace/probe.ts'
import { createSimulatedNetwork } from './network/simulated/simulated-driver.ts'
import { createUserDriver, probeUserNetworking } from './network/user/user-driver.ts'
import { createLocalContents } from './objects/local-contents.ts'
import { KeyedLocks } from './operations/locks.ts'
import { Reconciler } from './operations/reconciler.ts'
import { OperationRunner } from './operations/runner.ts'
import type { PriceSheet } from './prices/sheet.ts'
import { defaultPriceSheet } from './prices/sheets.ts'
import { type HomeLock, lockHome } from './state/home-lock.ts'
import { openState, type State } from './state/state.ts'

export interface KilnOptions {
  /** The home's folder; made when it is not there. */
  home: string
  machines: 'qemu' | 'simulated'
  /** `auto` takes namespaces when the host allows them, and QEMU's user networking otherwise. */
  network: 'auto' | 'namespace' | 'user'
  /** Whether guests are held to what their volumes' types promise; `on` unless given. */
  volumeLimits?: 'on' | 'off'
  /** The master key of encryption; the home's own unless given. */
  keyFile?: string
  /** Whether guests that have an agent are asked to hold still for their snapshots; `auto` unless given. */
  freezeGuests?: 'auto' | 'off'
  /** `postgres://…`; without it the state lies in the home. */
  databaseUrl?: string
  log: Log
  clock?: Clock
  /** What usage costs; AWS's public prices unless given. */
  prices?: PriceSheet
  /** Whether it tells when thresholds of budgets are crossed; yes unless given. */
  judgesBudgets?: boolean
  /** What the clock is told by when somebody sets it; the host's unless given. */
  uptime?: HostUptime
  /** Long steps at the start, in words for people. */
  onProgress?: (step: string) => void
}

export interface ServeOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  auth: 'open' | 'verify'
}

export interface Kiln {
  readonly home: Home
  readonly cloud: Cloud
  readonly state: State
  /** Takes requests; resolves to the URL once it answers. */
  serve(options: ServeOptions): Promise<string>
  /** Stops taking requests and lets go of everything; instances go on. */
  close(): Promise<void>
  /** Switches all instances off and ends every process of this home on the host, then closes. */
  shutDown(onStopped?: (instanceId: string) => void): Promise<void>
}

/** What other commands read in the home while a daemon serves it. */
export interface DaemonPage {
  url: string
  pid: number
  startTicks: number
  /** Whoever can read the page may use the control requests. */
  token: string
  auth: ServeOptions['auth']
  startedAt: number
}

const superviseMs = 2000
/** A slow disk may have gigabytes to write. */
const syncTimeoutMs = 600_000

/** Throws when the home is in use by another process, or when something that Kiln needs is missing. */
export async function openKiln(options: KilnOptions): Promise<Kiln> {
  const home = homeAt(options.home)
  await mkdir(home.runDir, { recursive: true, mode: 0o700 })
  await mkdir(home.volumesDir, { recursive: true, mode: 0o700 })
  const lock = lockOf(home)
  try {
    return await open(home, lock, options)
  } catch (error) {
    lock.release()
    throw error
  }
}

function lockOf(home: Home): HomeLock {
  const lock = lockHome(home.lockPath)
  if (lock) return lock
  throw new Error(`another Kiln serves the home ${home.root}: stop it with 'kiln down', or choose another --home`)
}

function openStateOf(
  home: Home,
  { databaseUrl, clock = systemClock, uptime = systemUptime }: Pick<KilnOptions, 'databaseUrl' | 'clock' | 'uptime'>,
): Promise<State> {
  const place = databaseUrl ? { url: databaseUrl } : { sqlitePath: home.databasePath }
  return openState(place, { clock, uptime, rules: chargeRules })
}

async function open(home: Home, lock: HomeLock, options: KilnOptions): Promise<Kiln> {
  const { log, clock = systemClock, onProgress = () => {} } = options
  const random = systemRandom
  const state = await openStateOf(home, options)
  const masterKey = await openMasterKey({ state, random }, resolve(options.keyFile ?? home.masterKeyPath))
  const disks = createDiskTools({ runDir: home.runDir, clock, random, log })
  const sharedDisks = createSharedDisks({ runDir: home.runDir, clock, log })
  const machines = await openMachines(home, options, clock, disks)
  const network = await openNetwork(home, options, clock)
  await disks.reapStale()
  const blocks = openBlocks(home, disks, log, clock, masterKey)
  const hostId = await state.settings.getOrMake(`host ${home.root}`, () => randomBytes(8).toString('hex'))
  const deps: CloudDeps = {
    objects: createLocalContents({ ...home, random }),
    ...{ state, blocks, machines, disks, sharedDisks, network, clock, random, log, masterKey },
    ...{ prices: options.prices ?? defaultPriceSheet(), judgesBudgets: options.judgesBudgets ?? true },
    operations: new OperationRunner({
      ...{ state, clock, random, log },
      owner: hostId,
      lanes: {
        boot: machines.bootConcurrency,
        blocks: 2,
        tiering: 1,
        images: 1000,
        stop: 16,
        hydrate: 1,
        initialize: 4,
        ...{ transfers: 2, bundles: 2, spot: 4 },
      },
    }),
    imageFiles: createImageFileTools(disks),
    locks: new KeyedLocks(),
    volumesDir: home.volumesDir,
    transfersDir: home.transfersDir,
    instanceStoreDir: home.instanceStoreDir,
    timing: defaultTiming,
    enforcesVolumeLimits: options.volumeLimits !== 'off',
    quiescesGuests: options.freezeGuests !== 'off',
    boundsMemory: machines.kind === 'qemu',
    host: { cpus: availableParallelism(), memoryMib: Math.floor(totalmem() / 1024 ** 2) },
  }
  const built = await buildKilnLinux({ cacheDir: home.cacheDir, onProgress })
  const publicImages = [await kilnLinux(home, deps, blocks, { built, onProgress })]
  const cloud = createCloud(deps, publicImages, [await kilnLinuxBundle(built, onProgress)])
  const secret = Buffer.from(
    await state.settings.getOrMake('imds secret', () => randomBytes(32).toString('hex')),
    'hex',
  )
  const imds = createImdsServer({ source: imdsSource(cloud), secret, clock, log })
  await imds.listen(home.metadataSocketPath)
  const supervisor = new Reconciler({
    ...{ name: 'block server', everyMs: superviseMs, clock, log },
    pass: () => blocks.superviseServer(),
  })
  supervisor.start()
  await cloud.start()

  const jobs = new ControlJobs(clock)
  let stopServing = async () => {}
  async function close() {
    await stopServing()
    await jobs.close()
    await cloud.stop()
    await supervisor.stop()
    await imds.close()
    await network.close()
    await machines.close()
    await state.close()
    lock.release()
  }

  return {
    home,
    cloud,
    state,
    async serve({ host, port, auth }) {
      const token = randomBytes(24).toString('base64url')
      const health = { version, machines: machines.kind, accelerator: machines.accelerator }
      const settings: AuthSettings = { mode: auth, lookupKey: keyLookup(cloud.identity.credentials) }
      const server = createApiServer({
        services: [
          createEc2Service({ handlers: ec2Handlers, cloud, auth: settings }),
          createCeService({ cloud }),
          createEbsService({ cloud }),
          createIamService({ cloud }),
          createKmsService({ cloud }),
          createPricingService({ cloud }),
          createQuotasService(),
          createS3Service({ cloud, auth: settings, clock }),
          createStsService({ cloud }),
        ],
        auth: settings,
        control: controlHandler({ token, health, cloud, accessKeys: new AccessKeys(deps), jobs }),
        ...{ log, clock, random },
      })
      const actualPort = await server.listen({ port, host })
      await server.listenForGuests(home.guestApiSocketPath, (guest) => cloud.guestAt(guest.vpcId, guest.sourceIp))
      const url = `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
      await writeDaemonPage(home, { url, token, auth, startedAt: clock.now() })
      stopServing = async () => {
        await server.close()
        await rm(home.daemonPath, { force: true })
      }
      return url
    },
    close,
    async shutDown(onStopped) {
      await stopServing()
      stopServing = async () => {}
      await cloud.stopAllInstances(onStopped)
      // Captures under way would bring the block server back; the next start takes them up again.
      await cloud.stop()
      await supervisor.stop()
      await blocks.stopServer()
      await Promise.all((await sharedDisks.list()).map((id) => sharedDisks.end(id)))
      await disks.reapStale()
      await close()
    },
  }
}

function openBlocks(
  home: Home,
  sealedDisks: DiskTools,
  log: Log,
  clock: Clock,
  masterKey?: MasterKey,
): LocalSnapshotBlocks {
  return createSnapshotBlocks({
    ...home,
    masterKey,
    server: {
      start: ({ script, args, logPath }) => startDetached(process.execPath, [script, ...args], { logPath }),
      isAlive,
      end: (server) => endProcess(server),
    },
    sealedDisks,
    syncFilesystem: async (path) => {
      await run('sync', ['-f', path], { timeoutMs: syncTimeoutMs })
    },
    log,
    clock,
  })
}

/** Checks the block stores of a home that no daemon serves. Throws when one does. */
export async function checkStores(
  options: Pick<KilnOptions, 'home' | 'databaseUrl' | 'log'>,
  request: { region?: string; repair: boolean },
  progress: { onPercent(percent: number): void; signal: AbortSignal },
): Promise<RegionChecked[]> {
  const home = homeAt(options.home)
  const lock = lockOf(home)
  try {
    const state = await openStateOf(home, options)
    try {
      const { log } = options
      const disks = createDiskTools({ runDir: home.runDir, clock: systemClock, random: systemRandom, log })
      const blocks = openBlocks(home, disks, log, systemClock)
      const seeds = (await readSeedRoots(home)).map((root) => ({ store: seedRegion, root }))
      const known = await whichAreThere(blocks, seeds)
      const deps = { state, blocks, log }
      const live = liveSetOf(deps, known)
      const collection = new Collection(deps, live, [seedRegion], systemRandom)
      return await new StoreCheck(deps, live, collection).check(request, progress)
    } finally {
      await state.close()
    }
  } finally {
    lock.release()
  }
}

/** Images that several homes have built in one cache are not in each home's store. */
async function whichAreThere<T extends { store: string; root: string }>(
  blocks: LocalSnapshotBlocks,
  seeds: readonly T[],
): Promise<T[]> {
  const isThere = ({ store, root }: T) =>
    blocks.info(store, root).then(
      () => true,
      // Damaged is there, and to be told.
      (error) => error instanceof CorruptObject,
    )
  const there = await Promise.all(seeds.map(isThere))
  return seeds.filter((_, i) => there[i])
}

const seedRecordName = (sha256: string) => `seed-${sha256.slice(0, 32)}.json`

async function readSeedRoots({ cacheDir }: Home): Promise<string[]> {
  const names = await readdir(cacheDir).catch(() => [])
  const records = names.filter((name) => /^seed-[0-9a-f]{32}\.json$/.test(name))
  return await Promise.all(
    records.map(async (name) => (JSON.parse(await readFile(join(cacheDir, name), 'utf8')) as { root: string }).root),
  )
}

/** What this host can do for the home, in words: each was tried for real. */
export interface Diagnosis {
  machines: { ok: boolean; detail: string }
  network: NetworkProbe
  /** What stands in where the former does not work. */
  userNetwork: NetworkProbe
}

/** Leaves nothing behind; what it found out about QEMU is remembered where there is a home. */
export async function diagnose(homePath: string): Promise<Diagnosis> {
  const { cacheDir } = homeAt(homePath)
  const scratch = await mkdtemp(join(tmpdir(), 'kiln-doctor-'))
  try {
    const [machines, network, userNetwork] = await Promise.all([
      probeHost(existsSync(cacheDir) ? cacheDir : scratch).then(
        ({ version: qemu, accelerator, reason }) => ({ ok: true, detail: `${qemu}; ${accelerator}: ${reason}` }),
        (error) => ({ ok: false, detail: messageOf(error) }),
      ),
      probeNamespaces({ clock: systemClock }),
      probeUserNetworking(),
    ])
    return { machines, network, userNetwork }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function openMachines(
  home: Home,
  options: KilnOptions,
  clock: Clock,
  { growLayer }: DiskTools,
): Promise<MachineDriver> {
  const { machinesDir, runDir, cacheDir } = home
  if (options.machines === 'simulated') return createSimulatedDriver({ machinesDir, clock, growLayer })
  options.onProgress?.('finding out what QEMU can do here')
  const host = await probeHost(cacheDir)
  return createQemuDriver({ runDir, machinesDir, host, clock, log: options.log })
}

async function openNetwork(home: Home, options: KilnOptions, clock: Clock): Promise<NetworkDriver> {
  const { networksDir, runDir, metadataSocketPath, guestApiSocketPath: apiSocketPath } = home
  const { log } = options
  const random = systemRandom
  if (options.machines === 'simulated') return createSimulatedNetwork({ home: home.root, random })
  const shared = { networksDir, runDir, metadataSocketPath, apiSocketPath, log, random }
  const namespaces = createNamespaceDriver({ ...shared, clock })
  if (options.network === 'namespace') return namespaces
  if (options.network === 'user') return createUserDriver(shared)
  const probe = await namespaces.probe()
  if (probe.ok) return namespaces
  log.warn({ detail: probe.detail }, "no network namespaces here: instances get QEMU's user networking")
  const user = createUserDriver(shared)
  const { ok, detail } = await user.probe()
  if (!ok) log.error({ detail }, 'and that does not work either: no instance can be started')
  return user
}

/** Kiln Linux as a public image, captured once into the seed store. */
async function kilnLinux(
  home: Home,
  deps: CloudDeps,
  blocks: LocalSnapshotBlocks,
  { built, onProgress }: { built: KilnLinuxImage; onProgress: (step: string) => void },
): Promise<PublicImage> {
  const about = {
    name: built.name,
    description: `Kiln Linux ${built.version}`,
    architecture: 'x86_64',
    store: seedRegion,
    sizeBytes: built.virtualSizeBytes,
  }
  const record = join(home.cacheDir, seedRecordName(built.sha256))
  // One that lost its content when the power failed is none: then the blocks are stored anew.
  const known = await readFile(record, 'utf8')
    .then(parseSeedRecord)
    .catch(() => undefined)
  if (known && (await blocks.info(seedRegion, known.root).catch(() => undefined))) return { ...about, root: known.root }
  onProgress(`storing the blocks of ${built.name}`)
  await blocks.openRegion(seedRegion)
  const sizeBytes = built.virtualSizeBytes
  const source = await deps.disks.openForReading({ base: null, layers: [built.imagePath], key: null }, sizeBytes)
  try {
    const { root } = await blocks.capture({ region: seedRegion, source, sizeBytes, parent: null })
    // Homes may share their cache, and begin at the same moment.
    await writeFile(`${record}.${process.pid}`, JSON.stringify({ root }))
    await rename(`${record}.${process.pid}`, record)
    return { ...about, root }
  } finally {
    await source.close()
  }
}

/** The same for the instance store. */
async function kilnLinuxBundle(built: KilnLinuxImage, onProgress: (step: string) => void): Promise<PublicBundle> {
  const bundle = await bundleKilnLinux(built, onProgress)
  const name = built.name.replace(/-ebs$/, '-s3')
  return { ...bundle, name, description: `Kiln Linux ${built.version} (instance store)`, architecture: 'x86_64' }
}

const parseSeedRecord = (text: string): { root: string } => JSON.parse(text)

async function writeDaemonPage(home: Home, about: Omit<DaemonPage, 'pid' | 'startTicks'>): Promise<void> {
  const page: DaemonPage = { ...about, pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 }
  await writeFile(`${home.daemonPath}.new`, JSON.stringify(page), { mode: 0o600 })
  await rename(`${home.daemonPath}.new`, home.daemonPath)
}

export type { Scenario, ScenarioInstance, ScenarioVolume } from './cloud/metering/scenario/scenario.ts'

export interface SimulatedCosts {
  report: CostReport
  /** Of the scenario's resources, by the ids in the report. */
  names: ReadonlyMap<string, string>
}

/** What a scenario costs, by resource; its state is thrown away. Without `prices` as AWS's public prices have it. */
export async function simulateCosts(scenario: Scenario, prices = defaultPriceSheet()): Promise<SimulatedCosts> {
  const time = new VirtualTime(scenario.fromS * 1000)
  const { clock } = time.process()
  const metering = { clock, uptime: time.uptime, rules: chargeRules }
  const state = await openState({ sqlitePath: ':memory:' }, metering)
  try {
    await state.usage.noteClock()
    const reach = (timeMs: number) => time.leap(timeMs - clock.now())
    const names = await liveThrough({ state, random: systemRandom, reach }, scenario)
    const query = { fromS: scenario.fromS, toS: scenario.toS, granularity: 'total', groupBy: ['resource'] } as const
    return { report: await new Costs({ state, clock, prices }).report(query, scenario.toS), names }
  } finally {
    await state.close()
  }
}
