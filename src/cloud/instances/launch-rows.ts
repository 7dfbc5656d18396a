/** What a launch writes: instances with their interfaces, volumes and operations, all in the caller's transaction. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Image } from '../../state/images.ts'
import type { Instance } from '../../state/instances.ts'
import type { NetworkInterface, Subnet } from '../../state/networks.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { VolumeAttachment } from '../../state/volumes.ts'
import type { Device } from '../block-devices.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Encryption, VolumeEncryption } from '../encryption/encryption.ts'
import { associationRow } from '../identity/instance-profile-associations.ts'
import type { ProfileRef } from '../identity/instance-profiles.ts'
import { fetchRootKind } from '../instance-store/fetch-operation.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { checkPrivateIp, newMac, pickPrivateIp } from '../network/addresses.ts'
import { unattachedInterface } from '../network/interfaces.ts'
import { checkNotArchived } from '../snapshots/archived.ts'
import { fastRestoredOf } from '../snapshots/fast-restore-operations.ts'
import { statusOf, writeSpotRequests } from '../spot/request-rows.ts'
import { enqueueInitialization } from '../volumes/initialization.ts'
import type { Volumes } from '../volumes/volumes.ts'
import { bootKind } from './boot-operation.ts'
import type { CpuCredits } from './cpu-credits.ts'
import { attachmentOf, type PlannedInterface, writeInterfaces } from './further-interfaces.ts'
import type { InstanceType } from './instance-types.ts'
import type { LaunchRequest } from './launch.ts'
import type { MetadataOptions } from './metadata-options.ts'

/** What the request came to once it was checked. */
export interface LaunchPlan {
  count: number
  image: Image
  type: InstanceType
  subnet: Subnet
  groupIds: readonly string[]
  /** Besides the primary one. */
  interfaces: readonly PlannedInterface[]
  metadata: MetadataOptions
  cpuCredits: CpuCredits | null
  /** The root first: slot 0 is what the firmware boots from. */
  devices: readonly Device[]
  /** Blank disks of the instance store. */
  ephemeral: readonly Device[]
  /** The named keys that the volumes are encrypted under, by device name. */
  keyIds: ReadonlyMap<string, string | null>
  profile: ProfileRef | null
}

interface Addresses {
  privateIp: string
  publicIp: string | null
}

/** The ids of the new instances, in the order of their launch. */
export async function writeLaunch(
  deps: CloudDeps,
  rooms: { volumes: Volumes; encryption: Encryption; instanceDisks: InstanceDisks },
  tx: Repositories,
  scope: Scope,
  request: LaunchRequest,
  plan: LaunchPlan,
): Promise<string[]> {
  const { random, clock, operations } = deps
  const given = request.interfaceId && (await unattachedInterface(tx, scope, request.interfaceId))
  const addresses = given ? [given] : await pickAddresses(deps, tx, request, plan)
  const snapshots = await snapshotsOf(deps, tx, plan.devices)
  const rates = new Map(request.devices.map(({ deviceName, ebs }) => [deviceName, ebs?.initializationRate]))
  const fast = await fastRestoredOf(tx, scope, [...snapshots.keys()], plan.subnet.zone)
  const reservationId = newId('reservation', random)
  const now = clock.now()
  const instances = addresses.map((_, launchIndex) => ({
    ...instanceRow(request, plan, now),
    ...{ ...scope, id: newId('instance', random), reservationId, launchIndex },
  }))
  const interfaces = given
    ? []
    : instances.map((instance, index) => interfaceRow(deps, instance, addresses[index]!, request))
  if (request.spot) {
    const spotIds = await writeSpotRequests(deps, tx, scope, request, request.spot, instances)
    for (const [index, instance] of instances.entries()) instance.spotRequestId = spotIds[index]!
  }
  const isBundled = plan.image.rootDeviceType === 'instance-store'
  const disks: DiskRows[] = []
  for (const instance of instances) {
    const firstSlot = isBundled ? 1 : 0
    for (const [index, device] of plan.devices.entries()) {
      const slot = firstSlot + index
      const snapshot = device.snapshotId === null ? undefined : snapshots.get(device.snapshotId)
      const sealing = await rooms.encryption.volumeColumns(tx, plan.keyIds.get(device.deviceName) ?? null, snapshot)
      const isReady = device.snapshotId !== null && fast.has(device.snapshotId)
      const about = { slot, snapshot, sealing, isReady, rate: rates.get(device.deviceName) }
      disks.push(diskRows(rooms.volumes, scope, instance, device, about))
    }
  }
  await tx.instances.insert(instances)
  if (request.spotRequestId) await fulfil(deps, tx, request.spotRequestId, instances[0]!)
  if (given) await tx.networks.updateInterface(given.id, attachmentOf(deps, instances[0]!, primaryOf(request)))
  else await tx.networks.insertInterfaces(interfaces, plan.groupIds)
  for (const instance of instances) {
    interfaces.push(...(await writeInterfaces(deps, tx, scope, instance, plan.interfaces)))
  }
  const { profile } = plan
  const associations = profile ? instances.map(({ id }) => associationRow(deps, scope, id, profile)) : []
  await tx.instanceProfileAssociations.insert(associations)
  await tx.volumes.insertAttached(disks)
  const { image, ephemeral, type } = plan
  const stores = instances.map((row) => rooms.instanceDisks.newRows(row, image, ephemeral, type.storage))
  checkSlots(plan.devices.length, stores[0] ?? [])
  await tx.instanceDisks.insert(stores.flat())
  const typed = (type: string, rows: readonly { id: string }[]) => rows.map(({ id }) => ({ id, type, ...scope }))
  await tx.tags.insertAll(typed('instance', instances), [...request.instanceTags, ...ownTags(request)])
  await tx.tags.insertAll(typed('network-interface', interfaces), request.interfaceTags)
  const newVolumes = disks.map((disk) => disk.volume)
  await tx.tags.insertAll(typed('volume', newVolumes), request.volumeTags)
  for (const volume of newVolumes) await enqueueInitialization(deps, tx, scope, volume)
  const input = { isLaunch: true }
  for (const { id: subjectId } of instances) {
    if (isBundled) await operations.enqueue(tx, { kind: fetchRootKind, subjectId, ...scope, input: {} })
    await operations.enqueue(tx, { kind: bootKind, subjectId, ...scope, input })
  }
  return instances.map((instance) => instance.id)
}

/** Throws IncorrectState when the request waits no longer. */
async function fulfil(
  { clock }: CloudDeps,
  tx: Repositories,
  requestId: string,
  { id, zone }: Instance,
): Promise<void> {
  const patch = { ...statusOf('fulfilled', clock.now()), state: 'active', instanceId: id, launchedZone: zone } as const
  if (await tx.spotRequests.move(requestId, ['open'], patch)) return
  throw new KilnError('IncorrectState', `The spot instance request '${requestId}' is not open`)
}

/** What EC2 itself puts on an instance of a launch template or a fleet, and by which tools find these. */
function ownTags({ template, fleetId }: LaunchRequest): Tag[] {
  const tags: Tag[] = fleetId ? [{ key: 'aws:ec2:fleet-id', value: fleetId }] : []
  if (!template) return tags
  return [
    ...tags,
    { key: 'aws:ec2launchtemplate:id', value: template.id },
    { key: 'aws:ec2launchtemplate:version', value: String(template.version) },
  ]
}

function checkSlots(volumes: number, disks: readonly unknown[]): void {
  if (volumes + disks.length <= limits.disksPerInstance) return
  throw new KilnError(
    'InvalidBlockDeviceMapping',
    `At most ${limits.disksPerInstance} block devices are supported (BlockDeviceMapping), the instance store's included`,
  )
}

async function pickAddresses(
  { network, random }: CloudDeps,
  tx: Repositories,
  request: LaunchRequest,
  { count, subnet, interfaces }: LaunchPlan,
): Promise<Addresses[]> {
  const taken = await tx.networks.privateIpsIn(subnet.id)
  const takenPublic = await tx.networks.publicIps()
  // As on EC2, an instance with several interfaces gets no public address by itself.
  const wantsPublicIp = interfaces.length === 0 && (request.associatePublicIp ?? subnet.mapPublicIp === 1)
  if (request.privateIp) checkPrivateIp(subnet, request.privateIp, taken)
  const addresses: Addresses[] = []
  for (let index = 0; index < count; index++) {
    const privateIp = request.privateIp ?? pickPrivateIp(subnet, taken, random)
    taken.add(privateIp)
    const publicIp = wantsPublicIp ? await network.allocatePublicIp(takenPublic) : null
    if (publicIp) takenPublic.add(publicIp)
    addresses.push({ privateIp, publicIp })
  }
  return addresses
}

/**
 * The snapshots that volumes are made of. Throws InvalidSnapshot.NotFound for one that was deleted meanwhile,
 * IncorrectState for one that is archived.
 */
async function snapshotsOf(
  { clock }: CloudDeps,
  tx: Repositories,
  devices: readonly Device[],
): Promise<Map<string, Snapshot>> {
  const ids = devices.flatMap((device) => device.snapshotId ?? [])
  await checkNotArchived(tx, clock, ids)
  const usable = (await tx.snapshots.many(ids)).filter((row) => row.state === 'completed')
  const snapshots = new Map(usable.map((row) => [row.id, row]))
  for (const id of ids) {
    const isThere = snapshots.get(id)?.rootHash != null
    if (!isThere) throw new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`)
  }
  return snapshots
}

type Identity = 'id' | 'accountId' | 'region' | 'reservationId' | 'launchIndex'

function instanceRow(
  request: LaunchRequest,
  { image, subnet, type, metadata, cpuCredits }: LaunchPlan,
  now: number,
): Omit<Instance, Identity> {
  return {
    zone: subnet.zone,
    imageId: image.id,
    instanceType: type.name,
    architecture: image.architecture,
    state: 'pending',
    stateReasonCode: null,
    stateReasonMessage: null,
    stateTransitionReason: '',
    heldBy: null,
    reachability: 'initializing',
    reachabilityAt: now,
    keyName: request.keyName,
    userData: request.userData,
    vpcId: subnet.vpcId,
    subnetId: subnet.id,
    rootDeviceName: image.rootDeviceName,
    rootDeviceType: image.rootDeviceType,
    virtualizationType: image.virtualizationType,
    bootMode: image.bootMode,
    platformDetails: image.platformDetails,
    enaSupport: image.enaSupport,
    ebsOptimized: request.ebsOptimized ? 1 : 0,
    monitoring: request.monitoring ? 1 : 0,
    disableApiTermination: request.disableApiTermination ? 1 : 0,
    disableApiStop: request.disableApiStop ? 1 : 0,
    shutdownBehavior: request.shutdownBehavior,
    ...metadata,
    cpuCredits,
    clientToken: request.clientToken?.token ?? null,
    spotRequestId: request.spotRequestId ?? null,
    launchedAt: now,
    createdAt: now,
    terminatedAt: null,
  }
}

function interfaceRow(
  deps: CloudDeps,
  instance: Instance,
  { privateIp, publicIp }: Addresses,
  request: LaunchRequest,
): NetworkInterface {
  const { accountId, region, zone, vpcId, subnetId, createdAt } = instance
  return {
    ...{ accountId, region, zone, vpcId, subnetId, createdAt, privateIp, publicIp },
    ...{ allocationId: null, associationId: null, kind: 'interface', sourceDestCheck: 1 },
    description: request.interfaceDescription,
    id: newId('networkInterface', deps.random),
    mac: newMac(deps.random),
    ...attachmentOf(deps, instance, primaryOf(request)),
  }
}

const primaryOf = ({ deletesInterface }: LaunchRequest) => ({ deviceIndex: 0, deletesInterface })

interface DiskPlan {
  slot: number
  snapshot: Snapshot | undefined
  sealing: VolumeEncryption
  /** Whether the snapshot is kept ready for new volumes. */
  isReady: boolean
  /** MiB a second at which the snapshot is fetched. */
  rate: number | undefined
}

interface DiskRows extends ReturnType<Volumes['newRows']> {
  attachment: VolumeAttachment
}

function diskRows(
  volumes: Volumes,
  scope: Scope,
  instance: Instance,
  device: Device,
  { slot, snapshot, sealing, isReady, rate }: DiskPlan,
): DiskRows {
  const { sizeGib, volumeType, iops, throughput, snapshotId, deviceName, deleteOnTermination } = device
  const shape = { sizeGib: sizeGib!, volumeType: volumeType!, iops, throughput }
  const origin = { snapshotId, baseRoot: snapshot?.rootHash ?? null, initializationRate: rate ?? null }
  const fastRestored = isReady && rate === undefined ? 1 : 0
  const about = { ...shape, ...origin, ...sealing, zone: instance.zone, fastRestored } as const
  const rows = volumes.newRows(scope, about, 'in-use')
  const { id: volumeId, createdAt: attachedAt } = rows.volume
  const link = { volumeId, instanceId: instance.id, deviceName, slot, deleteOnTermination, attachedAt }
  const attachment: VolumeAttachment = { ...link, state: 'attached' }
  return { ...rows, attachment }
}
