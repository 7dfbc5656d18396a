/** The domain, put together: what the API edge and the metadata service talk to. */
import { waitFor } from '../lib/clock.ts'
import { Reconciler } from '../operations/reconciler.ts'
import type { InstanceState } from '../state/schema.ts'
import { Buckets } from './buckets/buckets.ts'
import { Contents } from './buckets/contents.ts'
import { MultipartUploads } from './buckets/multipart-uploads.ts'
import { Objects } from './buckets/objects.ts'
import { BundleTasks } from './bundle-tasks/bundle-tasks.ts'
import { Bundles } from './bundles/bundles.ts'
import { Certificates } from './certificates/certificates.ts'
import { IdentitySignatures } from './certificates/identity-signatures.ts'
import type { CloudDeps, Scope } from './deps.ts'
import { EbsDefaults } from './encryption/ebs-defaults.ts'
import { Encryption } from './encryption/encryption.ts'
import { NamedKeys } from './encryption/named-keys.ts'
import { Fleets } from './fleets/fleets.ts'
import { IdentityAccess } from './identity/identity-access.ts'
import { InstanceProfileAssociations } from './identity/instance-profile-associations.ts'
import { BundleCopies } from './images/bundle-copies.ts'
import { ImagePermissions } from './images/image-permissions.ts'
import { Images } from './images/images.ts'
import { InstanceStoreImages } from './images/instance-store-images.ts'
import { FrozenRoots } from './instance-store/frozen-roots.ts'
import { InstanceDisks } from './instance-store/instance-disks.ts'
import { AccountSettings } from './instances/account-settings.ts'
import { type GuestMetadata, guestAt, guestMetadataAt } from './instances/guest-metadata.ts'
import { Instances } from './instances/instances.ts'
import { Launches } from './instances/launch.ts'
import { MachineRuns } from './instances/machine-runs.ts'
import { reconcileMachines, reconcileNetworks, reconcileReachability } from './instances/reconcile.ts'
import { RootReplacements } from './instances/root-replacements.ts'
import { KeyPairs } from './key-pairs.ts'
import { LaunchTemplates } from './launch-templates/launch-templates.ts'
import { Budgets } from './metering/budgets.ts'
import { Costs } from './metering/costs.ts'
import { ImageCosts } from './metering/image-costs.ts'
import { InstanceComparisons } from './metering/instance-comparisons.ts'
import { Metering } from './metering/metering.ts'
import { DhcpOptions } from './network/dhcp-options.ts'
import { ElasticAddresses } from './network/elastic-addresses.ts'
import { NetworkInterfaces } from './network/interfaces.ts'
import { InternetGateways } from './network/internet-gateways.ts'
import { NatGateways } from './network/nat-gateways.ts'
import { NetworkAcls } from './network/network-acls.ts'
import { PrefixLists } from './network/prefix-lists.ts'
import { RouteTables } from './network/route-tables.ts'
import { SecurityGroups } from './network/security-groups.ts'
import { Subnets } from './network/subnets.ts'
import { VpcEndpoints } from './network/vpc-endpoints.ts'
import { Vpcs } from './network/vpcs.ts'
import { PublicAccess } from './public-access.ts'
import type { PublicBundle } from './regions/public-bundles.ts'
import { type PublicImage, Regions } from './regions/regions.ts'
import { Collection, defaultGraceMs } from './snapshots/collection.ts'
import { DirectReads } from './snapshots/direct-reads.ts'
import { DirectUploads } from './snapshots/direct-uploads.ts'
import { FastRestores } from './snapshots/fast-restores.ts'
import { liveSetOf } from './snapshots/live-set.ts'
import { SnapshotCosts } from './snapshots/snapshot-cost.ts'
import { SnapshotLocks } from './snapshots/snapshot-locks.ts'
import { SnapshotPermissions } from './snapshots/snapshot-permissions.ts'
import { SnapshotTiers } from './snapshots/snapshot-tiers.ts'
import { Snapshots } from './snapshots/snapshots.ts'
import { StoreCheck } from './snapshots/store-check.ts'
import { SpotRequests } from './spot/spot-requests.ts'
import { StoredImages } from './stored-images/stored-images.ts'
import { Tags } from './tags.ts'
import { Transfers } from './transfers/transfers.ts'
import { VolumeAttachments } from './volumes/attachments.ts'
import { VolumeCopies } from './volumes/copies.ts'
import { VolumeCreations } from './volumes/creation.ts'
import { Hydration } from './volumes/hydration.ts'
import { VolumeModifications } from './volumes/modifications.ts'
import { reconcileSharedDisks } from './volumes/shared-volumes.ts'
import { VolumeStatuses } from './volumes/volume-status.ts'
import { Volumes } from './volumes/volumes.ts'

export interface Cloud {
  readonly images: Images
  readonly imagePermissions: ImagePermissions
  readonly instances: Instances
  readonly launches: Launches
  readonly spotRequests: SpotRequests
  readonly fleets: Fleets
  readonly accountSettings: AccountSettings
  readonly rootReplacements: RootReplacements
  readonly snapshots: Snapshots
  readonly directReads: DirectReads
  readonly directUploads: DirectUploads
  readonly snapshotPermissions: SnapshotPermissions
  readonly snapshotLocks: SnapshotLocks
  readonly snapshotTiers: SnapshotTiers
  readonly fastRestores: FastRestores
  readonly publicAccess: PublicAccess
  readonly snapshotCosts: SnapshotCosts
  readonly collection: Collection
  readonly storeCheck: StoreCheck
  readonly buckets: Buckets
  readonly objects: Objects
  readonly transfers: Transfers
  readonly storedImages: StoredImages
  readonly bundleTasks: BundleTasks
  readonly multipartUploads: MultipartUploads
  readonly volumes: Volumes
  readonly volumeCreations: VolumeCreations
  readonly volumeCopies: VolumeCopies
  readonly volumeAttachments: VolumeAttachments
  readonly volumeModifications: VolumeModifications
  readonly volumeStatuses: VolumeStatuses
  readonly hydration: Hydration
  readonly encryptionKeys: NamedKeys
  readonly ebsDefaults: EbsDefaults
  readonly encryption: Encryption
  readonly certificates: Certificates
  readonly identitySignatures: IdentitySignatures
  readonly identity: IdentityAccess
  readonly instanceProfileAssociations: InstanceProfileAssociations
  readonly bundles: Bundles
  readonly instanceStoreImages: InstanceStoreImages
  readonly bundleCopies: BundleCopies
  readonly vpcs: Vpcs
  readonly subnets: Subnets
  readonly internetGateways: InternetGateways
  readonly routeTables: RouteTables
  readonly networkAcls: NetworkAcls
  readonly dhcpOptions: DhcpOptions
  readonly prefixLists: PrefixLists
  readonly networkInterfaces: NetworkInterfaces
  readonly natGateways: NatGateways
  readonly vpcEndpoints: VpcEndpoints
  readonly securityGroups: SecurityGroups
  readonly elasticAddresses: ElasticAddresses
  readonly keyPairs: KeyPairs
  readonly launchTemplates: LaunchTemplates
  readonly costs: Costs
  readonly budgets: Budgets
  readonly imageCosts: ImageCosts
  readonly instanceComparisons: InstanceComparisons
  readonly tags: Tags
  readonly regions: Regions
  /** Opens the region and the account's default VPC there, on their first use. Called before every request. */
  enter(scope: Scope): Promise<void>
  /** What there is, in numbers, for whoever runs this Kiln. */
  overview(): Promise<Overview>
  guestAt(vpcId: string, privateIp: string): Promise<{ instanceId: string; accountId: string } | null>
  guestMetadataAt(vpcId: string, privateIp: string): Promise<GuestMetadata | null>
  /** Whether no work is under way or waits for its time, and nobody looks for any: for those who decide over time. */
  isAtRest(): Promise<boolean>
  /** Adopts what runs, carries on what was left, and keeps doing so. */
  start(): Promise<void>
  /** Leaves machines and networks as they are. */
  stop(): Promise<void>
  /**
   * Switches every machine of this host off, in order; their instances become `stopped`, or `terminated` when their root
   * lies in the instance store. Says each one as it is done.
   */
  stopAllInstances(onStopped?: (instanceId: string) => void): Promise<void>
}

export interface Overview {
  regions: string[]
  /** Instances of all accounts by state; terminated ones are left out. */
  instances: Partial<Record<InstanceState, number>>
  /** Work that is not done yet, oldest first. */
  operations: { id: string; kind: string; subjectId: string; region: string; step: string; progress: number }[]
}

const machinesEveryMs = 5000
const reachabilityEveryMs = 1000
const networksEveryMs = 30_000
const sharedDisksEveryMs = 2000
const hydrationEveryMs = 30_000
const uploadsEveryMs = 30_000
const fastRestoresEveryMs = 5000
const leftoversEveryMs = 3600_000
const contentsEveryMs = 3600_000
const meteringEveryMs = 30_000
const budgetsEveryMs = 60_000
const collectEveryMs = 6 * 3600_000
/** A client token is good for at least so long. */
const tokensKeptMs = 7 * 24 * 3600_000

export function createCloud(
  deps: CloudDeps,
  publicImages: readonly PublicImage[],
  publicBundles: readonly PublicBundle[] = [],
): Cloud {
  const { clock, log, state, operations, machines } = deps
  const metering = new Metering(deps)
  const costs = new Costs(deps)
  const budgets = new Budgets(deps, costs)
  const instanceComparisons = new InstanceComparisons(deps, costs)
  const encryptionKeys = new NamedKeys(deps)
  const ebsDefaults = new EbsDefaults(deps, encryptionKeys)
  const certificates = new Certificates(deps)
  const identity = new IdentityAccess(deps)
  const contents = new Contents(deps)
  const buckets = new Buckets(deps, contents)
  const objects = new Objects(deps, buckets, contents)
  const bundles = new Bundles(objects, certificates)
  const instanceDisks = new InstanceDisks(deps, bundles)
  const volumes = new Volumes(deps)
  const runs = new MachineRuns(deps, volumes.disks, instanceDisks)
  const encryption = new Encryption(deps, encryptionKeys, ebsDefaults)
  const snapshots = new Snapshots(deps, volumes, encryption)
  const directUploads = new DirectUploads(deps, snapshots, { encryption, defaults: ebsDefaults })
  const fastRestores = new FastRestores(deps, snapshots, volumes.disks)
  const images = new Images(deps, { snapshots, encryption, disks: volumes.disks, runs })
  const publicAccess = new PublicAccess(deps)
  const instances = new Instances(deps, runs, volumes, instanceDisks)
  const vpcs = new Vpcs(deps)
  const natGateways = new NatGateways(deps)
  const accountSettings = new AccountSettings(deps)
  const launches = new Launches(deps, {
    ...{ images, snapshots, volumes, vpcs, encryption, instanceDisks, accountSettings },
    instanceProfiles: identity.instanceProfiles,
  })
  const regions = new Regions(
    deps,
    { images: publicImages, bundles: publicBundles },
    { buckets, objects, certificates },
  )
  const hydration = new Hydration(deps, volumes)
  const live = liveSetOf(deps, publicImages)
  const snapshotCosts = new SnapshotCosts(deps, live)
  const transfers = new Transfers(deps, { buckets, objects, images, snapshots, encryption, regions })
  const storedImages = new StoredImages(deps, { buckets, objects, images, snapshots, encryption })
  const roots = new FrozenRoots(deps, instanceDisks)
  const bundleTasks = new BundleTasks(deps, { buckets, objects, certificates, roots })
  const publicStores = [...new Set(publicImages.map((image) => image.store))]
  const collection = new Collection(deps, live, publicStores, deps.random)
  const passes = [
    { name: 'machines', everyMs: machinesEveryMs, pass: () => reconcileMachines(deps, metering) },
    { name: 'reachability', everyMs: reachabilityEveryMs, pass: () => reconcileReachability(deps) },
    { name: 'networks', everyMs: networksEveryMs, pass: () => reconcileNetworks(deps) },
    { name: 'shared disks', everyMs: sharedDisksEveryMs, pass: () => reconcileSharedDisks(deps, volumes.disks) },
    { name: 'hydration', everyMs: hydrationEveryMs, pass: () => hydration.hydrateDue() },
    { name: 'uploads', everyMs: uploadsEveryMs, pass: () => directUploads.expire() },
    { name: 'fast restores', everyMs: fastRestoresEveryMs, pass: () => fastRestores.follow() },
    { name: 'leftovers', everyMs: leftoversEveryMs, pass: removeLeftovers },
    { name: 'object contents', everyMs: contentsEveryMs, pass: () => contents.sweep() },
    { name: 'transfers', everyMs: leftoversEveryMs, pass: () => transfers.tasks.removeLeftovers() },
    { name: 'metering', everyMs: meteringEveryMs, pass: () => metering.pass() },
    ...(deps.judgesBudgets ? [{ name: 'budgets', everyMs: budgetsEveryMs, pass: () => budgets.pass() }] : []),
    { name: 'collection', everyMs: collectEveryMs, pass: collectBlocks },
  ]
  const reconcilers = passes.map((pass) => new Reconciler({ ...pass, clock, log }))
  let stopListening = () => {}

  async function removeLeftovers(): Promise<void> {
    await volumes.removeLeftovers()
    await instanceDisks.removeLeftovers()
    await fastRestores.removeLeftovers()
    await storedImages.removeLeftovers()
    await bundleTasks.removeLeftovers()
    await natGateways.removeLeftovers()
    await state.clientTokens.removeBefore(clock.now() - tokensKeptMs)
  }

  async function collectBlocks(signal: AbortSignal): Promise<void> {
    await collection.collect({ graceMs: defaultGraceMs }, { signal })
  }

  return {
    images,
    imagePermissions: new ImagePermissions(deps, { images, publicAccess, encryption }),
    instances,
    rootReplacements: new RootReplacements(deps, runs, { images, snapshots, volumes, encryption }),
    launches,
    spotRequests: new SpotRequests(deps, launches),
    fleets: new Fleets(deps, { launches, instances }),
    accountSettings,
    snapshots,
    directReads: new DirectReads(deps),
    directUploads,
    snapshotPermissions: new SnapshotPermissions(deps, { snapshots, publicAccess, encryption }),
    snapshotLocks: new SnapshotLocks(deps, snapshots),
    snapshotTiers: new SnapshotTiers(deps, snapshots),
    fastRestores,
    publicAccess,
    snapshotCosts,
    imageCosts: new ImageCosts(deps, costs, snapshotCosts),
    instanceComparisons,
    collection,
    storeCheck: new StoreCheck(deps, live, collection),
    buckets,
    objects,
    transfers,
    storedImages,
    bundleTasks,
    multipartUploads: new MultipartUploads(deps, buckets, objects, contents),
    volumes,
    volumeCopies: new VolumeCopies(deps, volumes, encryption),
    volumeCreations: new VolumeCreations(deps, { volumes, snapshots, encryption }),
    volumeAttachments: new VolumeAttachments(deps, volumes),
    volumeModifications: new VolumeModifications(deps, volumes),
    volumeStatuses: new VolumeStatuses(deps, volumes),
    hydration,
    encryptionKeys,
    ebsDefaults,
    encryption,
    certificates,
    identity,
    instanceProfileAssociations: new InstanceProfileAssociations(deps, identity.instanceProfiles),
    identitySignatures: new IdentitySignatures(certificates),
    bundles,
    instanceStoreImages: new InstanceStoreImages(deps, { images, snapshots, bundles }),
    bundleCopies: new BundleCopies(deps, { images, bundles, buckets, objects, certificates }),
    vpcs,
    subnets: new Subnets(deps),
    internetGateways: new InternetGateways(deps),
    routeTables: new RouteTables(deps),
    networkAcls: new NetworkAcls(deps),
    dhcpOptions: new DhcpOptions(deps),
    prefixLists: new PrefixLists(deps),
    networkInterfaces: new NetworkInterfaces(deps),
    natGateways,
    vpcEndpoints: new VpcEndpoints(deps),
    securityGroups: new SecurityGroups(deps),
    elasticAddresses: new ElasticAddresses(deps),
    keyPairs: new KeyPairs(deps),
    launchTemplates: new LaunchTemplates(deps),
    costs,
    budgets,
    tags: new Tags(deps),
    regions,
    async enter(scope) {
      await regions.open(scope.region)
      await vpcs.openDefault(scope)
    },
    async overview() {
      const rows = await state.instances.inStates(['pending', 'running', 'shutting-down', 'stopping', 'stopped'])
      const byState: Overview['instances'] = {}
      for (const row of rows) byState[row.state] = (byState[row.state] ?? 0) + 1
      const unfinished = await state.operations.unfinished(100)
      return {
        regions: await regions.opened(),
        instances: byState,
        operations: unfinished.map(({ id, kind, subjectId, region, step, progress }) => ({
          ...{ id, kind, subjectId, region, step, progress },
        })),
      }
    },
    guestAt: (vpcId, privateIp) => guestAt(deps, vpcId, privateIp),
    guestMetadataAt: (vpcId, privateIp) => guestMetadataAt(deps, vpcId, privateIp),
    async isAtRest() {
      const workers = [operations, ...reconcilers]
      return workers.every(({ isResting }) => isResting) && (await state.operations.unfinished(1)).length === 0
    },
    async start() {
      await metering.start()
      await reconcileNetworks(deps)
      await operations.start()
      stopListening = machines.onChange(() => reconcilers[0]!.signal())
      for (const reconciler of reconcilers) reconciler.start()
    },
    async stop() {
      stopListening()
      await Promise.all(reconcilers.map((reconciler) => reconciler.stop()))
      await operations.stop()
    },
    async stopAllInstances(onStopped) {
      const live = await state.instances.inStates(['pending', 'running', 'stopping', 'shutting-down'])
      await Promise.all(
        live.map(async (instance) => {
          const isDecided = async () => (await state.instances.get(instance.id))?.state !== 'pending' || undefined
          await waitFor(clock, isDecided, { everyMs: 100, timeoutMs: settleMs })
          const scope = { accountId: instance.accountId, region: instance.region }
          const current = await state.instances.get(instance.id)
          if (current?.state === 'running') await instances.switchOff(scope, current)
          await operations.idle(instance.id, settleMs)
          onStopped?.(instance.id)
        }),
      )
    },
  }
}

/** Long enough for a boot to settle and a guest to be shut down. */
const settleMs = 180_000
