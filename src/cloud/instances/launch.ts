/** RunInstances: checks everything, then writes instances, volumes, interfaces and their operations in one transaction. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Subnet } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { type Device, type DeviceWish, mergeDevices } from '../block-devices.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Encryption } from '../encryption/encryption.ts'
import type { InstanceProfiles, ProfileWish } from '../identity/instance-profiles.ts'
import type { Images, ImageView } from '../images/images.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { usableAddresses } from '../network/addresses.ts'
import { checkDescription, unattachedInterface } from '../network/interfaces.ts'
import type { Vpcs } from '../network/vpcs.ts'
import type { NetworkProbe } from '../ports.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { tooLow } from '../spot/market.ts'
import type { SpotTerms } from '../spot/request-rows.ts'
import { checkInitializationRate } from '../volumes/initialization.ts'
import type { Volumes } from '../volumes/volumes.ts'
import { type AccountSettings, metadataDefaults } from './account-settings.ts'
import { type CpuCredits, launchCredits } from './cpu-credits.ts'
import { type InterfaceWish, planInterfaces } from './further-interfaces.ts'
import { checkGroupCount } from './group-count.ts'
import { countOnHost } from './host-capacity.ts'
import { type InstanceType, instanceTypes } from './instance-types.ts'
import { type LaunchPlan, writeLaunch } from './launch-rows.ts'
import { launchMetadataOptions, type MetadataWish } from './metadata-options.ts'
import { checkMetadataTags } from './metadata-tags.ts'

export interface LaunchRequest {
  imageId: string
  instanceType: string
  minCount: number
  maxCount: number
  keyName: string | null
  profile: ProfileWish | null
  /** Base64. */
  userData: string | null
  zone: string | null
  subnetId: string | null
  securityGroupIds: readonly string[]
  securityGroupNames: readonly string[]
  privateIp: string | null
  associatePublicIp: boolean | null
  /** One that is there already, and that says all of subnet, groups and address. */
  interfaceId: string | null
  /** Whether the primary interface goes with the instance. */
  deletesInterface: boolean
  interfaceDescription: string
  furtherInterfaces: readonly InterfaceWish[]
  devices: readonly DeviceWish[]
  shutdownBehavior: 'stop' | 'terminate'
  disableApiTermination: boolean
  disableApiStop: boolean
  ebsOptimized: boolean
  monitoring: boolean
  metadata: MetadataWish
  cpuCredits: CpuCredits | null
  instanceTags: readonly Tag[]
  volumeTags: readonly Tag[]
  interfaceTags: readonly Tag[]
  /** Where it was said what is launched. */
  template?: { id: string; version: number }
  /** The fleet that it belongs to. */
  fleetId?: string
  /** Spot instances: for each a request is made with it. */
  spot?: SpotTerms
  /** The open request that the one instance fulfils. */
  spotRequestId?: string
  clientToken?: ClientToken | undefined
}

/** A launch that was checked; how many fit is known when it is written. */
export interface PlannedLaunch {
  request: LaunchRequest
  plan: Omit<LaunchPlan, 'count' | 'profile'>
}

const namesInMapping = {
  encrypted: 'BlockDeviceMapping.Ebs.Encrypted',
  kmsKeyId: 'BlockDeviceMapping.Ebs.KmsKeyId',
}

export class Launches {
  readonly #deps: CloudDeps
  readonly #images: Images
  readonly #snapshots: Snapshots
  readonly #volumes: Volumes
  readonly #vpcs: Vpcs
  readonly #encryption: Encryption
  readonly #instanceDisks: InstanceDisks
  readonly #accountSettings: AccountSettings
  readonly #instanceProfiles: InstanceProfiles
  #goodProbe: Promise<NetworkProbe> | undefined

  constructor(
    deps: CloudDeps,
    rooms: {
      images: Images
      snapshots: Snapshots
      volumes: Volumes
      vpcs: Vpcs
      encryption: Encryption
      instanceDisks: InstanceDisks
      accountSettings: AccountSettings
      instanceProfiles: InstanceProfiles
    },
  ) {
    this.#deps = deps
    this.#images = rooms.images
    this.#snapshots = rooms.snapshots
    this.#volumes = rooms.volumes
    this.#vpcs = rooms.vpcs
    this.#encryption = rooms.encryption
    this.#instanceDisks = rooms.instanceDisks
    this.#accountSettings = rooms.accountSettings
    this.#instanceProfiles = rooms.instanceProfiles
  }

  /** The ids that a request with this token was answered with before. Throws IdempotentParameterMismatch. */
  answered(scope: Scope, clientToken: ClientToken | undefined): Promise<string[] | undefined> {
    return answeredBefore(this.#deps.state, scope, 'RunInstances', clientToken)
  }

  /** The ids of the new instances, all `pending`, in one reservation. */
  async launch(scope: Scope, request: LaunchRequest): Promise<string[]> {
    const before = await this.answered(scope, request.clientToken)
    if (before) return before
    const planned = await this.plan(scope, request)
    const ids = await this.whileWriting([planned], () =>
      createOnce(this.#deps, scope, 'RunInstances', request.clientToken, (tx) => this.write(tx, scope, planned)),
    )
    this.#deps.operations.wake()
    return ids
  }

  /** Checks all that can be known before the launch is written, and throws as RunInstances does. */
  async plan(scope: Scope, request: LaunchRequest): Promise<PlannedLaunch> {
    const { state } = this.#deps
    const type = checkCounts(request)
    this.#checkPrice(scope, request)
    const image = await this.#images.launchable(scope, request.imageId)
    const settings = await this.#accountSettings.get(scope)
    const cpuCredits = launchCredits(settings, type.name, request.cpuCredits)
    const metadata = launchMetadataOptions(image, metadataDefaults(settings), request.metadata)
    if (metadata.instanceMetadataTags === 'enabled') checkMetadataTags(request.instanceTags)
    const merged = await mergeDevices(image.devices, request.devices, (id, isPresent) =>
      isPresent ? this.#snapshots.ofImage(id) : this.#snapshots.get(scope, id),
    )
    const devices = merged.filter((device) => device.sizeGib !== null)
    const isBundled = image.rootDeviceType === 'instance-store'
    checkRootType(type, image, merged)
    const root = devices.find((device) => device.deviceName === image.rootDeviceName)
    const ownRoot = image.devices.find((device) => device.deviceName === image.rootDeviceName)
    if (root?.snapshotId && root.snapshotId !== ownRoot?.snapshotId) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `The snapshotId cannot be modified on the root device ${image.rootDeviceName} (BlockDeviceMapping.Ebs.SnapshotId)`,
      )
    }
    if (!isBundled && !root?.snapshotId) {
      throw new KilnError('InvalidBlockDeviceMapping', `The root device ${image.rootDeviceName} has no snapshot`)
    }
    // The root comes first: slot 0 is what the firmware boots from.
    const ordered = [...(root ? [root] : []), ...devices.filter((device) => device !== root)]
    const ephemeral = merged.filter((device) => device.virtualName !== null)
    checkRates(request.devices, ordered)
    const subnet = await this.#subnetOf(scope, request)
    checkDescription(request.interfaceDescription)
    const primary = { wishes: request.furtherInterfaces, primary: subnet, maxCount: request.maxCount }
    const interfaces = await planInterfaces(this.#deps, scope, primary)
    const groupIds = request.interfaceId ? [] : await this.#groupsOf(scope, request, subnet.vpcId)
    if (request.keyName !== null && !(await state.keyPairs.named(scope.accountId, scope.region, request.keyName))) {
      throw new KilnError('InvalidKeyPair.NotFound', `The key pair '${request.keyName}' does not exist`)
    }
    const probe = await this.#probeNetwork()
    if (!probe.ok) throw new KilnError('Unavailable', `No instance can be launched on this host: ${probe.detail}`)
    const keyIds = await this.#keysOf(scope, ordered, request.devices)
    return {
      request,
      plan: { image, type, subnet, groupIds, interfaces, metadata, cpuCredits, devices: ordered, ephemeral, keyIds },
    }
  }

  /** Addresses of subnets are given out by one launch at a time. */
  async whileWriting<T>(launches: readonly PlannedLaunch[], work: () => Promise<T>): Promise<T> {
    const subnets = launches.flatMap(({ plan }) => [plan.subnet, ...plan.interfaces.map((nic) => nic.subnet)])
    const subnetIds = [...new Set(subnets.map(({ id }) => id))].sort()
    const held = subnetIds.reduceRight((inner, id) => () => this.#deps.locks.hold(`subnet:${id}`, inner), work)
    return held()
  }

  /** The ids of the new instances. Whoever calls this wakes the operations when the transaction is done. */
  async write(tx: Repositories, scope: Scope, { request, plan }: PlannedLaunch): Promise<string[]> {
    const count = await this.#countThatFits(tx, request, plan)
    const rooms = { volumes: this.#volumes, encryption: this.#encryption, instanceDisks: this.#instanceDisks }
    const { profile: wish } = request
    const profile = wish && (await this.#instanceProfiles.forInstance(tx, scope.accountId, wish))
    return writeLaunch(this.#deps, rooms, tx, scope, request, { ...plan, count, profile })
  }

  /** Throws SpotMaxPriceTooLow. */
  #checkPrice({ region }: Scope, { instanceType, spot }: LaunchRequest): void {
    const low = spot && tooLow(this.#deps.prices, { instanceType, region, maxPrice: spot.maxPrice })
    if (low) throw new KilnError('SpotMaxPriceTooLow', low)
  }

  /** The named keys that the new volumes are encrypted under, by device name; null where they are not encrypted. */
  async #keysOf(
    scope: Scope,
    devices: readonly Device[],
    wishes: readonly DeviceWish[],
  ): Promise<Map<string, string | null>> {
    const { snapshots } = this.#deps.state
    const keyIds = new Map<string, string | null>()
    for (const { deviceName, snapshotId, encrypted } of devices) {
      const ebs = wishes.find((wish) => wish.deviceName === deviceName)?.ebs
      // An image may say of a volume that begins empty that it is encrypted.
      const said = snapshotId === null && encrypted === 1 ? true : null
      const wish = { encrypted: ebs?.encrypted ?? said, kmsKeyId: ebs?.kmsKeyId ?? null }
      const snapshot = snapshotId === null ? undefined : await snapshots.get(snapshotId)
      keyIds.set(deviceName, await this.#encryption.keyForVolume(scope, wish, snapshot, namesInMapping))
    }
    return keyIds
  }

  /** Tried for real, and remembered once it went well. */
  async #probeNetwork(): Promise<NetworkProbe> {
    const probe = await (this.#goodProbe ?? this.#deps.network.probe())
    if (probe.ok) this.#goodProbe = Promise.resolve(probe)
    return probe
  }

  async #subnetOf(scope: Scope, request: LaunchRequest): Promise<Subnet> {
    const { state } = this.#deps
    const nic = request.interfaceId ? await unattachedInterface(state, scope, request.interfaceId) : undefined
    const subnetId = nic?.subnetId ?? request.subnetId
    if (subnetId) {
      const subnet = await state.networks.subnet(subnetId)
      if (subnet?.accountId === scope.accountId && subnet.region === scope.region) {
        if (request.zone === null || request.zone === subnet.zone) return subnet
        throw new KilnError(
          'InvalidParameterValue',
          `Placement.AvailabilityZone '${request.zone}' is not the zone of subnet '${subnet.id}', which is ${subnet.zone}`,
        )
      }
      throw new KilnError('InvalidSubnetID.NotFound', `The subnet ID '${subnetId}' does not exist`)
    }
    const vpc = await this.#vpcs.openDefault(scope)
    const filters = [
      { name: 'vpc-id', values: [vpc.id] },
      ...(request.zone ? [{ name: 'availability-zone', values: [request.zone] }] : []),
    ]
    const { items } = await this.#vpcs.listSubnets(scope, { filters })
    if (items[0]) return items[0]
    throw new KilnError('InvalidParameterValue', `Invalid availability zone: [${request.zone}]`)
  }

  async #groupsOf(scope: Scope, request: LaunchRequest, vpcId: string): Promise<string[]> {
    const { networks } = this.#deps.state
    const { securityGroupIds: ids, securityGroupNames: names } = request
    checkGroupCount([...ids, ...names])
    const found: string[] = []
    for (const id of ids) {
      const group = await networks.securityGroup(id)
      if (group?.accountId !== scope.accountId || group.region !== scope.region) {
        throw new KilnError('InvalidGroup.NotFound', `The security group '${id}' does not exist`)
      }
      if (group.vpcId !== vpcId) {
        throw new KilnError('InvalidParameter', `Security group ${id} and the subnet belong to different networks.`)
      }
      found.push(id)
    }
    for (const name of names) {
      const group = await networks.securityGroupByName(vpcId, name)
      if (!group)
        throw new KilnError('InvalidGroup.NotFound', `The security group '${name}' does not exist in VPC '${vpcId}'`)
      found.push(group.id)
    }
    if (found.length === 0) found.push((await networks.securityGroupByName(vpcId, 'default'))!.id)
    return [...new Set(found)]
  }

  async #countThatFits(
    tx: Repositories,
    request: LaunchRequest,
    { subnet, interfaces }: PlannedLaunch['plan'],
  ): Promise<number> {
    const { instanceType, minCount: least, maxCount: most } = request
    let count = await countOnHost(this.#deps, tx, instanceType, { least, most })
    const further = interfaces.filter(({ wish }) => !wish.interfaceId).map((nic) => nic.subnet)
    const asked = request.interfaceId ? further : [subnet, ...further]
    const used = await tx.networks.usedAddresses([...new Set(asked.map(({ id }) => id))])
    for (const one of asked) {
      const perInstance = asked.filter(({ id }) => id === one.id).length
      const served = Math.floor((usableAddresses(one.cidr) - (used.get(one.id) ?? 0)) / perInstance)
      if (served < least) {
        throw new KilnError(
          'InsufficientFreeAddressesInSubnet',
          `There are not enough free addresses in subnet '${one.id}' to satisfy the requested number of instances`,
        )
      }
      count = Math.min(count, served)
    }
    return count
  }
}

/** Source: "Root volumes for your Amazon EC2 instances" in the EC2 user guide. */
function checkRootType(type: InstanceType, image: ImageView, devices: readonly Device[]): void {
  if (image.rootDeviceType === 'ebs') return
  if (!type.mayRootInInstanceStore) {
    throw new KilnError(
      'InvalidParameterCombination',
      `The instance type '${type.name}' does not support an AMI with root device type 'instance-store' (${image.id}): m1, m2, m3, c1, c3, r3, i2 and d2 types do.`,
    )
  }
  if (!devices.some(({ deviceName }) => deviceName === image.rootDeviceName)) return
  throw new KilnError(
    'InvalidBlockDeviceMapping',
    `The root device ${image.rootDeviceName} of an instance-store image comes from its bundle: BlockDeviceMapping cannot change it`,
  )
}

function checkRates(wishes: readonly DeviceWish[], devices: readonly Device[]): void {
  for (const { deviceName, ebs } of wishes) {
    const hasSnapshot = devices.find((device) => device.deviceName === deviceName)?.snapshotId != null
    const parameter = `BlockDeviceMapping(${deviceName}).Ebs.VolumeInitializationRate`
    checkInitializationRate(ebs?.initializationRate ?? null, parameter, hasSnapshot)
  }
}

function checkCounts(request: LaunchRequest): InstanceType {
  const { minCount, maxCount } = request
  if (minCount < 1)
    throw new KilnError('InvalidParameterValue', `Value (${minCount}) for parameter MinCount is invalid. Minimum is 1.`)
  if (maxCount < 1)
    throw new KilnError('InvalidParameterValue', `Value (${maxCount}) for parameter MaxCount is invalid. Minimum is 1.`)
  if (maxCount < minCount) {
    throw new KilnError('InvalidParameterCombination', `MinCount (${minCount}) must not exceed MaxCount (${maxCount})`)
  }
  if (minCount > limits.instancesPerRequest) {
    throw new KilnError(
      'InstanceLimitExceeded',
      `MinCount ${minCount} is more than one request may launch: ${limits.instancesPerRequest}`,
    )
  }
  if (maxCount > limits.instancesPerRequest) {
    throw new KilnError(
      'InstanceLimitExceeded',
      `MaxCount ${maxCount} is more than one request may launch: ${limits.instancesPerRequest}`,
    )
  }
  if (request.privateIp && maxCount > 1) {
    throw new KilnError('InvalidParameterCombination', 'PrivateIpAddress can be given to one instance only (MaxCount)')
  }
  if (request.interfaceId && maxCount > 1) {
    throw new KilnError(
      'InvalidParameterCombination',
      'An interface (NetworkInterface.1.NetworkInterfaceId) can be given to one instance only (MaxCount)',
    )
  }
  const type = instanceTypes.get(request.instanceType)
  if (!type) throw new KilnError('InvalidParameterValue', `Invalid value '${request.instanceType}' for InstanceType.`)
  return type
}
