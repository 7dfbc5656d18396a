/**
 * A whole cloud in a temporary folder, for tests of several rooms: a composition root with nothing behind it that
 * costs time. State, blocks and disks are real, machines and network simulated. What the network was told is kept, to
 * be looked at.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { createSnapshotBlocks, seedRegion } from '../../src/blocks/snapshot-blocks.ts'
import { type Cloud, createCloud } from '../../src/cloud/cloud.ts'
import { type CloudDeps, type CloudTiming, defaultTiming, type Scope } from '../../src/cloud/deps.ts'
import { openMasterKey } from '../../src/cloud/encryption/master-key.ts'
import { chargeRules } from '../../src/cloud/metering/charge-rules.ts'
import { newMac } from '../../src/cloud/network/addresses.ts'
import type { PublicImage } from '../../src/cloud/regions/regions.ts'
import { type Clock, type HostUptime, systemClock } from '../../src/lib/clock.ts'
import { type Home, homeAt } from '../../src/lib/home.ts'
import { newId } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { endProcess, isAlive, run, startDetached } from '../../src/lib/programs.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { createDiskTools } from '../../src/machines/qemu/disk-tools.ts'
import { createImageFileTools } from '../../src/machines/qemu/image-files.ts'
import { createSharedDisks } from '../../src/machines/qemu/shared-disks.ts'
import { createSimulatedDriver, type SimulatedDriver } from '../../src/machines/simulated/driver.ts'
import type { NetworkDriver, VpcPlan } from '../../src/network/driver.ts'
import { createSimulatedNetwork } from '../../src/network/simulated/simulated-driver.ts'
import { createLocalContents } from '../../src/objects/local-contents.ts'
import { KeyedLocks } from '../../src/operations/locks.ts'
import { OperationRunner } from '../../src/operations/runner.ts'
import type { PriceSheet } from '../../src/prices/sheet.ts'
import { defaultPriceSheet } from '../../src/prices/sheets.ts'
import { openState } from '../../src/state/state.ts'

export interface TestCloudOptions {
  /** The home of a cloud that was there before, or will be there again; without it a temporary one. */
  homePath?: string
  /**
   * Instances can be launched: there is a public image of 1 GiB (its first 64 KiB are sevens), operations and
   * reconcilers run as they do in the daemon.
   */
  isLive?: boolean
  timing?: Partial<CloudTiming>
  /** Real time unless given; for tests in which days go by. */
  clock?: Clock
  /** What tells when the clock was set; goes with the clock unless given. */
  uptime?: HostUptime
  /** What processes of the host and files are waited for by, which take their own time; `clock` unless given. */
  hostClock?: Clock
  prices?: PriceSheet
  /** Guests are held to the 4096 MiB of the test's host, as if they were real. */
  boundsMemory?: boolean
  /** Puts faults before the block store. */
  wrapBlocks?: (blocks: SnapshotBlocks) => SnapshotBlocks
}

export interface TestCloud {
  cloud: Cloud
  deps: CloudDeps
  machines: SimulatedDriver
  /** The plans that the network was given, oldest first. */
  plans: VpcPlan[]
  /** Makes the network refuse every plan from now on. */
  breakNetwork(): void
  close(): Promise<void>
}

export async function openTestCloud(options: TestCloudOptions = {}): Promise<TestCloud> {
  const { homePath, isLive = false, timing, clock = systemClock, wrapBlocks = (blocks) => blocks } = options
  const home = homeAt(homePath ?? (await mkdtemp(join(tmpdir(), 'kiln-cloud-'))))
  const [random, log] = [systemRandom, silentLog]
  const { uptime = { bootId: 'test', uptimeMs: () => clock.now() }, hostClock = clock } = options
  const state = await openState({ sqlitePath: home.databasePath }, { clock, uptime, rules: chargeRules })
  const masterKey = await openMasterKey({ state, random }, home.masterKeyPath)
  const simulated = createSimulatedNetwork({ home: home.root, random })
  const plans: VpcPlan[] = []
  let broken = false
  const network: NetworkDriver = {
    ...simulated,
    async apply(plan) {
      if (broken) throw new Error('the network is broken')
      plans.push(plan)
      await simulated.apply(plan)
    },
  }
  const sharedDisks = createSharedDisks({ runDir: home.runDir, clock: hostClock, log })
  const disks = createDiskTools({ runDir: home.runDir, clock: hostClock, random, log })
  const machines = await createSimulatedDriver({ machinesDir: home.machinesDir, clock, growLayer: disks.growLayer })
  const blocks = createSnapshotBlocks({
    ...home,
    masterKey,
    server: {
      start: ({ script, args, logPath }) => startDetached(process.execPath, [script, ...args], { logPath }),
      isAlive,
      end: endProcess,
    },
    sealedDisks: disks,
    syncFilesystem: async (path) => void (await run('sync', ['-f', path])),
    log,
    clock: hostClock,
  })
  const deps: CloudDeps = {
    ...{ state, machines, disks, sharedDisks, network, clock, random, log, masterKey },
    prices: options.prices ?? defaultPriceSheet(),
    judgesBudgets: true,
    blocks: wrapBlocks(blocks),
    objects: createLocalContents({ ...home, random }),
    operations: new OperationRunner({
      ...{ state, clock, random, log },
      owner: 'test',
      lanes: isLive
        ? { ...idleLanes, boot: machines.bootConcurrency, blocks: 2, images: 1000, stop: 16, spot: 4 }
        : idleLanes,
    }),
    imageFiles: createImageFileTools(disks),
    locks: new KeyedLocks(),
    volumesDir: home.volumesDir,
    transfersDir: home.transfersDir,
    instanceStoreDir: home.instanceStoreDir,
    timing: { ...defaultTiming, ...timing },
    enforcesVolumeLimits: true,
    quiescesGuests: true,
    boundsMemory: options.boundsMemory ?? false,
    host: { cpus: 2, memoryMib: 4096 },
  }
  const cloud = createCloud(deps, isLive ? [await seedImage(home, deps, blocks)] : [])
  if (isLive) await cloud.start()
  return {
    cloud,
    deps,
    machines,
    plans,
    breakNetwork: () => {
      broken = true
    },
    async close() {
      if (isLive) await cloud.stop()
      await blocks.stopServer()
      for (const id of await sharedDisks.list()) await sharedDisks.end(id)
      await disks.reapStale()
      await machines.close()
      await network.close()
      await state.close()
      if (homePath === undefined) await rm(home.root, { recursive: true, force: true })
    },
  }
}

const idleLanes = {
  boot: 1,
  blocks: 1,
  tiering: 1,
  images: 1,
  stop: 1,
  spot: 1,
  hydrate: 1,
  initialize: 4,
  transfers: 1,
  bundles: 1,
}

const seedBytes = 1024 ** 3

/** What was captured for homes that are opened again. */
const seeds = new Map<string, PublicImage>()

/** A public image whose blocks were captured from a real disk. */
async function seedImage(home: Home, deps: CloudDeps, blocks: SnapshotBlocks): Promise<PublicImage> {
  await blocks.openRegion(seedRegion)
  const seed = seeds.get(home.root) ?? (await captureSeed(home, deps, blocks))
  seeds.set(home.root, seed)
  return seed
}

async function captureSeed(home: Home, { disks }: CloudDeps, blocks: SnapshotBlocks): Promise<PublicImage> {
  const path = join(home.root, 'seed.qcow2')
  await disks.createLayer(path, seedBytes, null)
  await run('qemu-io', ['-c', 'write -P 7 0 64k', path])
  const source = await disks.openForReading({ base: null, layers: [path], key: null }, seedBytes)
  try {
    const { root } = await blocks.capture({ region: seedRegion, source, sizeBytes: seedBytes, parent: null })
    const about = { name: 'seed', description: 'A seed', architecture: 'x86_64' }
    return { ...about, store: seedRegion, root, sizeBytes: seedBytes }
  } finally {
    await source.close()
  }
}

/** The rows of an instance that runs in the default VPC with these groups; no machine stands behind it. */
export async function placeInstance(
  { deps, cloud }: TestCloud,
  scope: Scope,
  { groupIds, hostNumber }: { groupIds: readonly string[]; hostNumber: number },
): Promise<{ instanceId: string; networkInterfaceId: string; privateIp: string }> {
  const { state, random, clock } = deps
  const vpc = await cloud.vpcs.openDefault(scope)
  const [subnet] = (await cloud.vpcs.listSubnets(scope, {})).items
  const createdAt = clock.now()
  const place = { ...scope, zone: subnet!.zone, vpcId: vpc.id, subnetId: subnet!.id, createdAt }
  const instanceId = newId('instance', random)
  const networkInterfaceId = newId('networkInterface', random)
  const privateIp = subnet!.cidr.replace(/\d+\/\d+$/, String(hostNumber))
  await state.transaction(async (tx) => {
    await tx.instances.insert([{ ...place, ...runningInstance, id: instanceId, launchedAt: createdAt }])
    await tx.networks.insertInterfaces(
      [
        {
          ...place,
          id: networkInterfaceId,
          instanceId,
          attachmentId: newId('networkInterfaceAttachment', random),
          attachmentState: 'attached',
          mac: newMac(random),
          privateIp,
          publicIp: null,
          allocationId: null,
          associationId: null,
          deleteOnTermination: 1,
          ...{ kind: 'interface', description: '', sourceDestCheck: 1, attachedAt: createdAt, deviceIndex: 0 },
        },
      ],
      groupIds,
    )
  })
  return { instanceId, networkInterfaceId, privateIp }
}

const runningInstance = {
  reservationId: 'r-0123456789abcdef0',
  launchIndex: 0,
  imageId: 'ami-0123456789abcdef0',
  instanceType: 't3.micro',
  architecture: 'x86_64',
  state: 'running',
  stateReasonCode: null,
  stateReasonMessage: null,
  stateTransitionReason: '',
  reachability: 'passed',
  reachabilityAt: 0,
  keyName: null,
  userData: null,
  rootDeviceName: '/dev/xvda',
  rootDeviceType: 'ebs',
  virtualizationType: 'hvm',
  bootMode: null,
  platformDetails: 'Linux/UNIX',
  enaSupport: 1,
  ebsOptimized: 0,
  monitoring: 0,
  disableApiTermination: 0,
  disableApiStop: 0,
  shutdownBehavior: 'stop',
  httpTokens: 'optional',
  httpEndpoint: 'enabled',
  httpPutResponseHopLimit: 1,
  instanceMetadataTags: 'disabled',
  clientToken: null,
  spotRequestId: null,
  terminatedAt: null,
} as const
