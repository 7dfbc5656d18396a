/**
 * The tables, as TypeScript sees them. Columns are camelCase here and snake_case in the database.
 *
 * Conventions: times are milliseconds since the epoch; flags are 0 or 1, because SQLite has no booleans; ids are EC2's.
 * A row is never the place for what lies on the host (process ids, sockets): drivers keep that themselves.
 */

import type { AccountSettingsTables } from './schema/account-settings.ts'
import type { BucketTables } from './schema/buckets.ts'
import type { BudgetTables } from './schema/budgets.ts'
import type { BundleTaskTables } from './schema/bundle-tasks.ts'
import type { BundleColumns } from './schema/bundles.ts'
import type { CertificateTables } from './schema/certificates.ts'
import type { EncryptionTables } from './schema/encryption.ts'
import type { IdentityTables } from './schema/identities.ts'
import type { InstanceDiskTables } from './schema/instance-disks.ts'
import type { LaunchTemplateTables } from './schema/launch-templates.ts'
import type { NetworkTables } from './schema/networks.ts'
import type { PulledImageTables } from './schema/pulled-images.ts'
import type { SpotTables } from './schema/spot.ts'
import type { StoredImageTables } from './schema/stored-images.ts'
import type { TransferTables } from './schema/transfers.ts'
import type { UsageTables } from './schema/usage.ts'
import type { FastSnapshotRestoresTable, ReplaceRootVolumeTasksTable } from './schema/volume-features.ts'

export type Flag = 0 | 1
/** Milliseconds since the Unix epoch. */
export type TimeMs = number

export interface SettingsTable {
  name: string
  value: string
}

export interface AccessKeysTable {
  id: string
  secret: string
  accountId: string
  description: string
  createdAt: TimeMs
}

/** A region that has been opened: its store exists and the public images are registered. */
export interface OpenRegionsTable {
  name: string
  openedAt: TimeMs
}

export interface KeyPairsTable {
  id: string
  accountId: string
  region: string
  name: string
  type: 'rsa' | 'ed25519'
  fingerprint: string
  /** One line in OpenSSH form. */
  publicKey: string
  createdAt: TimeMs
}

export type ImageState = 'pending' | 'available' | 'failed' | 'deregistered'

export interface ImagesTable extends BundleColumns {
  id: string
  /** The owner. */
  accountId: string
  /** `amazon` for the images that come with Kiln, and for those of publishers that have it on EC2. */
  ownerAlias: string | null
  region: string
  name: string
  description: string | null
  state: ImageState
  stateReasonCode: string | null
  stateReasonMessage: string | null
  architecture: string
  rootDeviceName: string
  rootDeviceType: 'ebs' | 'instance-store'
  virtualizationType: string
  enaSupport: Flag
  sriovNetSupport: string | null
  bootMode: string | null
  imdsSupport: string | null
  tpmSupport: string | null
  platformDetails: string
  sourceInstanceId: string | null
  sourceImageId: string | null
  sourceImageRegion: string | null
  createdAt: TimeMs
  deregisteredAt: TimeMs | null
}

export interface BlockDeviceTable {
  deviceName: string
  ordinal: number
  snapshotId: string | null
  sizeGib: number | null
  volumeType: string | null
  iops: number | null
  throughput: number | null
  deleteOnTermination: Flag
  encrypted: Flag
  virtualName: string | null
}

export interface ImageBlockDevicesTable extends BlockDeviceTable {
  imageId: string
}

/** `grantee` is an account id or `all`. */
export interface ImageLaunchPermissionsTable {
  imageId: string
  grantee: string
}

export type SnapshotState = 'pending' | 'completed' | 'error' | 'deleted'

export interface SnapshotsTable {
  id: string
  accountId: string
  ownerAlias: string | null
  region: string
  /** The volume it was taken of; `vol-ffffffff` for copies, as on EC2. */
  volumeId: string
  sizeGib: number
  state: SnapshotState
  stateMessage: string | null
  /** 0 to 100. */
  progress: number
  description: string
  encrypted: Flag
  /** Seals its blocks; null when it is not encrypted. */
  dataKeyId: string | null
  /** The root object in the region's block store; null until it is completed. */
  rootHash: string | null
  /** Bytes of blocks that are not zeros. */
  dataBytes: number | null
  /** Bytes that the region's store grew by when it was taken. */
  storedBytes: number | null
  /** The snapshot that it is charged as an increment of; null when it is charged for all of its bytes. */
  chargeParentId: string | null
  /** Bytes of volume that it is charged for; null until it is completed. */
  chargedBytes: number | null
  /** The snapshot, perhaps of another region or account, that it was copied from; null when it is no copy. */
  copiedFromId: string | null
  startedAt: TimeMs
  completedAt: TimeMs | null
}

/** `open`: blocks may be written. `sealed`: completion was asked for. `closed`: it came to an end, whichever. */
export type SnapshotUploadState = 'open' | 'sealed' | 'closed'

/** A snapshot that is, or was, written block by block through the EBS direct APIs. Its row outlives the writing. */
export interface SnapshotUploadsTable {
  snapshotId: string
  accountId: string
  region: string
  state: SnapshotUploadState
  parentSnapshotId: string | null
  timeoutMinutes: number
  /** An open one that is neither written to nor completed by then has failed. Every write puts it off. */
  deadline: TimeMs
  /** Grows with every write: tells whether anything was written in the meantime. */
  writes: number
  /** Bytes that the region's store grew by so far. */
  storedBytes: number
  /** Set when it is sealed: how many blocks were written, and the checksum of all their checksums (hexadecimal). */
  changedBlocks: number | null
  checksum: string | null
}

/** What was written where, as long as the upload is not closed. The block lies in the store, but for one of zeros. */
export interface SnapshotUploadBlocksTable {
  snapshotId: string
  blockIndex: number
  hash: string
  /** Of an encrypted snapshot: the checksum of what was sent, sealed, because `hash` is the name of the sealed block. */
  sealedChecksum: string | null
}

/** `grantee` is an account id or `all`. */
export interface SnapshotCreateVolumePermissionsTable {
  snapshotId: string
  grantee: string
}

/** What an account has blocked in a region; no row means that nothing is. */
export interface PublicAccessBlocksTable {
  accountId: string
  region: string
  resourceType: 'snapshot' | 'image'
  state: 'block-all-sharing' | 'block-new-sharing'
}

/** There as long as the snapshot was ever locked and not unlocked; whether it still is, the clock says. */
export interface SnapshotLocksTable {
  snapshotId: string
  mode: 'governance' | 'compliance'
  durationDays: number
  coolOffHours: number | null
  coolOffUntil: TimeMs | null
  createdAt: TimeMs
  /** The duration counts from here, or from the completion of the snapshot when that is later. */
  durationFrom: TimeMs
  /** Given when the lock was asked for until a date, whatever its duration. */
  expirationDate: TimeMs | null
}

export type TieringStatus = `${'archival' | 'permanent-restore' | 'temporary-restore'}-${
  | 'in-progress'
  | 'completed'
  | 'failed'}`

/** There once a snapshot was ever asked to be archived. */
export interface SnapshotTiersTable {
  snapshotId: string
  /** `archive` also while it is temporarily restored. */
  tier: 'standard' | 'archive'
  operationStatus: TieringStatus
  operationDetail: string | null
  /** 0 to 100, of the last archive or restore. */
  progress: number
  startedAt: TimeMs
  archivedAt: TimeMs | null
  /** Until then an archived snapshot can be used; null when it is not restored. */
  restoreExpiresAt: TimeMs | null
}

export type VolumeState = 'creating' | 'available' | 'in-use' | 'deleting' | 'deleted' | 'error'

export interface VolumesTable {
  id: string
  accountId: string
  region: string
  zone: string
  sizeGib: number
  volumeType: string
  iops: number | null
  throughput: number | null
  encrypted: Flag
  /** Of its files on this host and of its snapshots; null when it is not encrypted. */
  dataKeyId: string | null
  snapshotId: string | null
  /** The root object that lies under the lowest layer; null when the volume was made of no snapshot. */
  baseRoot: string | null
  /** Seals the blocks of `baseRoot`; null when they are not sealed. */
  baseDataKeyId: string | null
  /** Since when all of `baseRoot` lies on this host, so that the volume needs no snapshot; null before. */
  hydratedAt: TimeMs | null
  autoEnableIo: Flag
  /** The volume that it began as a copy of. */
  sourceVolumeId: string | null
  /** MiB a second at which its snapshot is fetched from the first moment on; null for whenever there is time. */
  initializationRate: number | null
  /** Its snapshot lay ready on this host when it was made. */
  fastRestored: Flag
  /** Several instances may have it at once. */
  multiAttach: Flag
  state: VolumeState
  createdAt: TimeMs
}

export type ModificationState = 'modifying' | 'optimizing' | 'completed' | 'failed'

/** The newest modification of a volume. Sizes in GiB, throughput in MiB a second. */
export interface VolumeModificationsTable {
  volumeId: string
  state: ModificationState
  statusMessage: string | null
  originalSizeGib: number
  originalType: string
  originalIops: number | null
  originalThroughput: number | null
  originalMultiAttach: Flag
  targetSizeGib: number
  targetType: string
  targetIops: number | null
  targetThroughput: number | null
  targetMultiAttach: Flag
  startedAt: TimeMs
  endedAt: TimeMs | null
}

/** The qcow2 files of a volume, lowest first. All but the highest are frozen. */
export interface VolumeLayersTable {
  volumeId: string
  seq: number
  /** File name inside the volume's folder. */
  fileName: string
  /** The snapshot that this layer was frozen for; null for the layer that is written. */
  snapshotId: string | null
  /** Its file was made: should it be missing from then on, what was written to it is lost. */
  isMade: Flag
}

export interface VolumeAttachmentsTable {
  volumeId: string
  instanceId: string
  deviceName: string
  /** 0 is the boot disk. */
  slot: number
  /** `busy` is a volume that the guest does not let go of. */
  state: 'attaching' | 'attached' | 'detaching' | 'busy'
  deleteOnTermination: Flag
  attachedAt: TimeMs
}

export type InstanceState = 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped'

export interface InstancesTable {
  id: string
  accountId: string
  region: string
  zone: string
  reservationId: string
  launchIndex: number
  imageId: string
  instanceType: string
  architecture: string
  state: InstanceState
  stateReasonCode: string | null
  stateReasonMessage: string | null
  stateTransitionReason: string
  /** The operation that has its machine down for a moment; reconcilers leave such an instance alone. */
  heldBy: string | null
  /** Whether the guest answers on the network: what the status checks report. */
  reachability: 'initializing' | 'passed' | 'failed' | 'insufficient-data'
  reachabilityAt: TimeMs
  keyName: string | null
  /** Base64, as it was sent. */
  userData: string | null
  vpcId: string
  subnetId: string
  rootDeviceName: string
  rootDeviceType: 'ebs' | 'instance-store'
  virtualizationType: string
  bootMode: string | null
  platformDetails: string
  enaSupport: Flag
  ebsOptimized: Flag
  monitoring: Flag
  disableApiTermination: Flag
  disableApiStop: Flag
  shutdownBehavior: 'stop' | 'terminate'
  httpTokens: 'optional' | 'required'
  httpEndpoint: 'enabled' | 'disabled'
  httpPutResponseHopLimit: number
  instanceMetadataTags: 'enabled' | 'disabled'
  /** Null for a type without credits. */
  cpuCredits: 'standard' | 'unlimited' | null
  clientToken: string | null
  /** The request that it fulfils; null for an on-demand instance. */
  spotRequestId: string | null
  launchedAt: TimeMs
  createdAt: TimeMs
  terminatedAt: TimeMs | null
}

export interface TagsTable {
  resourceId: string
  resourceType: string
  accountId: string
  region: string
  key: string
  value: string
}

export interface ClientTokensTable {
  accountId: string
  region: string
  action: string
  token: string
  paramsHash: string
  /** What the first request answered with: resource ids, comma-separated. */
  resourceIds: string
  createdAt: TimeMs
}

export type OperationState = 'pending' | 'running' | 'completed' | 'failed'

export interface OperationsTable {
  id: string
  kind: string
  /** The resource it works on; operations on one subject run one after the other, oldest first. */
  subjectId: string
  accountId: string
  region: string
  state: OperationState
  /** The step to do next, by name. */
  step: string
  /** 0 to 100. */
  progress: number
  attempts: number
  /** Not to be tried before this time. */
  runAfter: TimeMs
  leaseOwner: string | null
  leaseUntil: TimeMs
  /** JSON: what was asked. */
  input: string
  /** JSON: what the steps found out so far. */
  data: string
  error: string | null
  createdAt: TimeMs
  updatedAt: TimeMs
  /** Orders operations made in the same millisecond. */
  seq: number
}

export interface Database
  extends AccountSettingsTables,
    BucketTables,
    BundleTaskTables,
    CertificateTables,
    EncryptionTables,
    IdentityTables,
    InstanceDiskTables,
    LaunchTemplateTables,
    NetworkTables,
    PulledImageTables,
    SpotTables,
    StoredImageTables,
    TransferTables,
    UsageTables,
    BudgetTables {
  settings: SettingsTable
  accessKeys: AccessKeysTable
  openRegions: OpenRegionsTable
  keyPairs: KeyPairsTable
  images: ImagesTable
  imageBlockDevices: ImageBlockDevicesTable
  imageLaunchPermissions: ImageLaunchPermissionsTable
  snapshots: SnapshotsTable
  snapshotUploads: SnapshotUploadsTable
  snapshotUploadBlocks: SnapshotUploadBlocksTable
  snapshotCreateVolumePermissions: SnapshotCreateVolumePermissionsTable
  snapshotLocks: SnapshotLocksTable
  snapshotTiers: SnapshotTiersTable
  publicAccessBlocks: PublicAccessBlocksTable
  volumes: VolumesTable
  volumeLayers: VolumeLayersTable
  volumeAttachments: VolumeAttachmentsTable
  volumeModifications: VolumeModificationsTable
  replaceRootVolumeTasks: ReplaceRootVolumeTasksTable
  fastSnapshotRestores: FastSnapshotRestoresTable
  instances: InstancesTable
  tags: TagsTable
  clientTokens: ClientTokensTable
  operations: OperationsTable
}
