import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { MasterKey } from '../lib/master-key.ts'
import type { Random } from '../lib/random.ts'
import type { KeyedLocks } from '../operations/locks.ts'
import type { OperationRunner } from '../operations/runner.ts'
import type { PriceSheet } from '../prices/sheet.ts'
import type { State } from '../state/state.ts'
import type {
  ContentStore,
  DiskTools,
  ImageFileTools,
  MachineDriver,
  NetworkDriver,
  SharedDisks,
  SnapshotBlocks,
} from './ports.ts'

/** What every part of the cloud works with. */
export interface CloudDeps {
  readonly state: State
  readonly operations: OperationRunner
  readonly blocks: SnapshotBlocks
  /** The contents of S3 objects. */
  readonly objects: ContentStore
  readonly machines: MachineDriver
  readonly disks: DiskTools
  readonly imageFiles: ImageFileTools
  readonly sharedDisks: SharedDisks
  readonly network: NetworkDriver
  /** Work on one instance's machine, or on one volume that no machine holds, is done under its id. */
  readonly locks: KeyedLocks
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What usage costs. */
  readonly prices: PriceSheet
  /** Whether thresholds of budgets are watched; whoever only switches off does not know the prices. */
  readonly judgesBudgets: boolean
  /** What the named encryption keys are sealed under. */
  readonly masterKey: MasterKey
  /** Where volumes lie: a folder each. */
  readonly volumesDir: string
  /** Where files of imports and exports lie while they are needed: a folder each. */
  readonly transfersDir: string
  /** Where disks of the instance store lie: a folder each instance. */
  readonly instanceStoreDir: string
  readonly timing: CloudTiming
  /** Whether guests are held to the IOPS and the throughput of their volumes. */
  readonly enforcesVolumeLimits: boolean
  /** Whether guests that have an agent are asked to hold still while their disks are frozen. */
  readonly quiescesGuests: boolean
  /** Whether all guests together are held to the memory of the host: those of simulated machines take none. */
  readonly boundsMemory: boolean
  /** What this host can give to guests. */
  readonly host: { cpus: number; memoryMib: number }
}

/** What looking after the block stores takes; a home that no daemon serves has it too. */
export type StoreDeps = Pick<CloudDeps, 'state' | 'blocks' | 'log'>

export interface CloudTiming {
  /** How long a guest may take to switch itself off before the plug is pulled. */
  shutdownGraceMs: number
  /** How long a boot keeps its place among the cold boots when the guest does not answer. */
  bootSettleMs: number
  /** How long a starting guest may refuse logins before that is taken for what it does. */
  refusalCountsAfterMs: number
  /** How old a volume is when the rest of its snapshot is fetched in the background. */
  hydrateAfterMs: number
  /** How long a guest may be unreachable after its start before its status check fails. */
  reachableWithinMs: number
}

export const defaultTiming: CloudTiming = {
  shutdownGraceMs: 60_000,
  bootSettleMs: 60_000,
  refusalCountsAfterMs: 60_000,
  hydrateAfterMs: 600_000,
  reachableWithinMs: 300_000,
}

/** Who asks, and where: every request of the cloud has one. */
export interface Scope {
  readonly accountId: string
  readonly region: string
}

/** Idempotency as EC2 has it: the same token with the same parameters gives the first answer again. */
export interface ClientToken {
  token: string
  /** A hash of the parameters without the token. */
  paramsHash: string
}
