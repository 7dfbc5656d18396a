/** What might be used, and when: a plan whose costs are asked for before anybody carries it out. Times are seconds since the epoch. */

export interface Scenario {
  fromS: number
  /** Excluded. */
  toS: number
  region: string
  instances: readonly ScenarioInstance[]
  volumes: readonly ScenarioVolume[]
}

export interface ScenarioInstance {
  name: string
  instanceType: string
  /** Null when the root lies in the instance store. */
  root: ScenarioVolume | null
  /** In order, and apart. The instance is launched with the first. */
  runs: readonly { fromS: number; toS: number }[]
  /** Whether it has a public address while it runs. */
  publicAddress: boolean
  tags: Readonly<Record<string, string>>
}

export interface ScenarioVolume {
  name: string
  sizeGib: number
  volumeType: string
  iops: number | null
  throughput: number | null
  fromS: number
  toS: number
  snapshots: SnapshotPlan | null
  tags: Readonly<Record<string, string>>
}

/** One snapshot a day, and the oldest deleted when there are more than are kept. */
export interface SnapshotPlan {
  /** Seconds since midnight (UTC). */
  atS: number
  /** What the volume holds, and so what the oldest snapshot is charged for. */
  dataBytes: number
  /** What every other snapshot has that the one before it has not. */
  changedBytes: number
  keep: number
  /** The region that each is copied to; null for none. */
  copyTo: string | null
}
