/** Everything that is remembered, behind one door: a repository an aggregate, and transactions over them. */
import type { Dialect } from 'kysely'
import { AccountSettingsRepository } from './account-settings.ts'
import { BucketRepository } from './buckets.ts'
import { BudgetRepository } from './budgets.ts'
import { BundleTaskRepository } from './bundle-tasks.ts'
import { ClientTokenRepository } from './client-tokens.ts'
import { type Db, inTransaction, migrate, openDatabase } from './database.ts'
import { DhcpOptionsRepository } from './dhcp-options.ts'
import { ElasticAddressRepository } from './elastic-addresses.ts'
import { EncryptionRepository } from './encryption.ts'
import { FastSnapshotRestoreRepository } from './fast-snapshot-restores.ts'
import { FleetRepository } from './fleets.ts'
import { IdentityRepository } from './identities.ts'
import { IdentityPolicyRepository } from './identity-policies.ts'
import { ImageRepository } from './images.ts'
import { InstanceDiskRepository } from './instance-disks.ts'
import { InstanceProfileAssociationRepository } from './instance-profile-associations.ts'
import { InstanceRepository } from './instances.ts'
import { KeyPairRepository } from './key-pairs.ts'
import { LaunchTemplateRepository } from './launch-templates.ts'
import { MultipartUploadRepository } from './multipart-uploads.ts'
import { NatGatewayRepository } from './nat-gateways.ts'
import { NetworkAclRepository } from './network-acls.ts'
import { NetworkRepository } from './networks.ts'
import { ObjectRepository } from './objects.ts'
import { OperationRepository } from './operations.ts'
import { postgresDialect } from './postgres.ts'
import { PrefixListRepository } from './prefix-lists.ts'
import { PublicAccessRepository } from './public-access.ts'
import { PulledImageRepository } from './pulled-images.ts'
import { ReplaceRootVolumeTaskRepository } from './replace-root-volume-tasks.ts'
import { RoutingRepository } from './routing.ts'
import { SettingsRepository } from './settings.ts'
import { SigningCertificateRepository } from './signing-certificates.ts'
import { SnapshotChargeRepository } from './snapshot-charges.ts'
import { SnapshotLockRepository } from './snapshot-locks.ts'
import { SnapshotTierRepository } from './snapshot-tiers.ts'
import { SnapshotUploadRepository } from './snapshot-uploads.ts'
import { SnapshotRepository } from './snapshots.ts'
import { SpotRequestRepository } from './spot-requests.ts'
import { sqliteDialect } from './sqlite.ts'
import { StoredImageTaskRepository } from './stored-image-tasks.ts'
import { TagRepository } from './tags.ts'
import { TransferRepository } from './transfers.ts'
import {
  MeteredElasticAddresses,
  MeteredFastRestores,
  MeteredInstances,
  MeteredNetworks,
  MeteredObjects,
  MeteredSnapshots,
  MeteredSnapshotTiers,
  MeteredTags,
  MeteredVolumes,
} from './usage/metered-repositories.ts'
import { Metering, type MeteringOptions } from './usage/metering.ts'
import { UsageRepository } from './usage/usage.ts'
import { UserAccessKeyRepository } from './user-access-keys.ts'
import { VolumeModificationRepository } from './volume-modifications.ts'
import { VolumeRepository } from './volumes.ts'
import { VpcEndpointRepository } from './vpc-endpoints.ts'

export interface Repositories {
  readonly settings: SettingsRepository
  readonly accountSettings: AccountSettingsRepository
  readonly networks: NetworkRepository
  readonly networkAcls: NetworkAclRepository
  readonly dhcpOptions: DhcpOptionsRepository
  readonly prefixLists: PrefixListRepository
  readonly vpcEndpoints: VpcEndpointRepository
  readonly natGateways: NatGatewayRepository
  readonly elasticAddresses: ElasticAddressRepository
  readonly routing: RoutingRepository
  readonly keyPairs: KeyPairRepository
  readonly launchTemplates: LaunchTemplateRepository
  readonly images: ImageRepository
  readonly snapshots: SnapshotRepository
  readonly snapshotUploads: SnapshotUploadRepository
  readonly snapshotCharges: SnapshotChargeRepository
  readonly snapshotLocks: SnapshotLockRepository
  readonly snapshotTiers: SnapshotTierRepository
  readonly publicAccess: PublicAccessRepository
  readonly volumes: VolumeRepository
  readonly volumeModifications: VolumeModificationRepository
  readonly replaceRootVolumeTasks: ReplaceRootVolumeTaskRepository
  readonly fastSnapshotRestores: FastSnapshotRestoreRepository
  readonly instances: InstanceRepository
  readonly instanceDisks: InstanceDiskRepository
  readonly spotRequests: SpotRequestRepository
  readonly fleets: FleetRepository
  readonly buckets: BucketRepository
  readonly objects: ObjectRepository
  readonly multipartUploads: MultipartUploadRepository
  readonly transfers: TransferRepository
  readonly pulledImages: PulledImageRepository
  readonly storedImageTasks: StoredImageTaskRepository
  readonly bundleTasks: BundleTaskRepository
  readonly tags: TagRepository
  readonly clientTokens: ClientTokenRepository
  readonly operations: OperationRepository
  readonly encryption: EncryptionRepository
  readonly signingCertificates: SigningCertificateRepository
  readonly identities: IdentityRepository
  readonly identityPolicies: IdentityPolicyRepository
  readonly userAccessKeys: UserAccessKeyRepository
  readonly instanceProfileAssociations: InstanceProfileAssociationRepository
  readonly usage: UsageRepository
  readonly budgets: BudgetRepository
}

export interface State extends Repositories {
  /**
   * Runs `work` in one transaction: all of it is durable when this resolves, none of it when it rejects. Transactions come
   * one after the other, so what one has checked holds until its end.
   */
  transaction<T>(work: (tx: Repositories) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/**
 * Opens and upgrades the database: a SQLite file, or PostgreSQL when the place is a `postgres://` URL. Without `metering`
 * nothing that is written is charged for.
 */
export async function openState(
  place: { sqlitePath: string } | { url: string },
  metering?: MeteringOptions,
): Promise<State> {
  const dialect: Dialect = 'url' in place ? postgresDialect(place.url) : sqliteDialect(place.sqlitePath)
  const db = openDatabase(dialect)
  try {
    await migrate(db)
  } catch (error) {
    await db.destroy()
    throw error
  }
  const meter = metering && new Metering(metering)
  return {
    ...repositoriesOf(db, meter),
    transaction: (work) => inTransaction(db, (tx) => work(repositoriesOf(tx, meter))),
    close: () => db.destroy(),
  }
}

function repositoriesOf(db: Db, metering: Metering | undefined): Repositories {
  return metering ? { ...plainRepositories(db), ...meteredRepositories(db, metering) } : plainRepositories(db)
}

function meteredRepositories(db: Db, metering: Metering): Partial<Repositories> {
  return {
    instances: new MeteredInstances(db, metering),
    volumes: new MeteredVolumes(db, metering),
    snapshots: new MeteredSnapshots(db, metering),
    snapshotTiers: new MeteredSnapshotTiers(db, metering),
    fastSnapshotRestores: new MeteredFastRestores(db, metering),
    networks: new MeteredNetworks(db, metering),
    elasticAddresses: new MeteredElasticAddresses(db, metering),
    objects: new MeteredObjects(db, metering),
    tags: new MeteredTags(db, metering),
    usage: new UsageRepository(db, metering),
  }
}

function plainRepositories(db: Db): Repositories {
  return {
    settings: new SettingsRepository(db),
    accountSettings: new AccountSettingsRepository(db),
    networks: new NetworkRepository(db),
    networkAcls: new NetworkAclRepository(db),
    dhcpOptions: new DhcpOptionsRepository(db),
    prefixLists: new PrefixListRepository(db),
    vpcEndpoints: new VpcEndpointRepository(db),
    natGateways: new NatGatewayRepository(db),
    elasticAddresses: new ElasticAddressRepository(db),
    routing: new RoutingRepository(db),
    keyPairs: new KeyPairRepository(db),
    launchTemplates: new LaunchTemplateRepository(db),
    images: new ImageRepository(db),
    snapshots: new SnapshotRepository(db),
    snapshotUploads: new SnapshotUploadRepository(db),
    snapshotCharges: new SnapshotChargeRepository(db),
    snapshotLocks: new SnapshotLockRepository(db),
    snapshotTiers: new SnapshotTierRepository(db),
    publicAccess: new PublicAccessRepository(db),
    volumes: new VolumeRepository(db),
    volumeModifications: new VolumeModificationRepository(db),
    replaceRootVolumeTasks: new ReplaceRootVolumeTaskRepository(db),
    fastSnapshotRestores: new FastSnapshotRestoreRepository(db),
    instances: new InstanceRepository(db),
    instanceDisks: new InstanceDiskRepository(db),
    spotRequests: new SpotRequestRepository(db),
    fleets: new FleetRepository(db),
    buckets: new BucketRepository(db),
    objects: new ObjectRepository(db),
    multipartUploads: new MultipartUploadRepository(db),
    transfers: new TransferRepository(db),
    pulledImages: new PulledImageRepository(db),
    storedImageTasks: new StoredImageTaskRepository(db),
    bundleTasks: new BundleTaskRepository(db),
    tags: new TagRepository(db),
    clientTokens: new ClientTokenRepository(db),
    operations: new OperationRepository(db),
    encryption: new EncryptionRepository(db),
    signingCertificates: new SigningCertificateRepository(db),
    identities: new IdentityRepository(db),
    identityPolicies: new IdentityPolicyRepository(db),
    userAccessKeys: new UserAccessKeyRepository(db),
    instanceProfileAssociations: new InstanceProfileAssociationRepository(db),
    usage: new UsageRepository(db),
    budgets: new BudgetRepository(db),
  }
}
