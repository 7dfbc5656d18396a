/**
 * Network interfaces of accounts' own: made in a subnet, kept without an instance, given to one at its launch or while it
 * runs. Source: "Elastic network interfaces" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Instance } from '../../state/instances.ts'
import type { Page } from '../../state/listing.ts'
import type { NetworkInterface, SecurityGroup, Subnet } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { checkGroupCount } from '../instances/group-count.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import { checkPrivateIp, newMac, pickPrivateIp } from './addresses.ts'
import { findGroup } from './group-lookup.ts'
import {
  attachInterfaceKind,
  attachInterfaceOperation,
  type DetachInterfaceInput,
  detachInterfaceKind,
  detachInterfaceOperation,
  type InterfaceInput,
} from './interface-operations.ts'
import { interfaceNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'
import { ownedSubnet } from './subnets.ts'

export interface InterfaceDetail extends NetworkInterface {
  groups: SecurityGroup[]
}

const descriptionMax = 255

export class NetworkInterfaces {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
    deps.operations.register(attachInterfaceOperation(deps))
    deps.operations.register(detachInterfaceOperation(deps))
  }

  /** With the default group of its VPC unless others are given. Throws InvalidSubnetID.NotFound, InvalidGroup.NotFound. */
  async create(
    scope: Scope,
    request: {
      subnetId: string
      privateIp: string | undefined
      groupIds: readonly string[]
      description: string
      tags: readonly Tag[]
      clientToken: ClientToken | undefined
    },
  ): Promise<InterfaceDetail> {
    const { subnetId, tags } = request
    checkDescription(request.description)
    checkGroupCount(request.groupIds)
    // A launch under way counts the subnet's free addresses under the same lock.
    const [id] = await this.#deps.locks.hold(`subnet:${subnetId}`, () =>
      createOnce(this.#deps, scope, 'CreateNetworkInterface', request.clientToken, async (tx) => {
        const subnet = await ownedSubnet(tx, scope, subnetId)
        if ((await tx.networks.countInterfaces(scope.accountId, scope.region)) >= limits.networkInterfaces) {
          throw new KilnError('NetworkInterfaceLimitExceeded', 'The maximum number of network interfaces is reached.')
        }
        const groupIds = await groupsIn(tx, scope, subnet.vpcId, request.groupIds)
        const nic = await newInterface(this.#deps, tx, subnet, request)
        await tx.networks.insertInterfaces([nic], groupIds)
        await tx.tags.put({ id: nic.id, type: 'network-interface', ...scope }, tags)
        return [nic.id]
      }),
    )
    return (await this.list(scope, { ids: [id!] })).items[0]!
  }

  /** Throws InvalidNetworkInterfaceID.NotFound. */
  async list(scope: Scope, request: ListOf): Promise<Page<InterfaceDetail>> {
    const { networks } = this.#deps.state
    const list = (what: ListOf) => networks.listInterfaces(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(list, request, interfaceNotFound)
    const groupsOf = await networks.groupsOfInterfaces(page.items.map((nic) => nic.id))
    const groups = await networks.securityGroups([...new Set([...groupsOf.values()].flat())])
    const detail = (nic: NetworkInterface): InterfaceDetail => ({
      ...nic,
      groups: groups.filter((group) => groupsOf.get(nic.id)!.includes(group.id)),
    })
    return { ...page, items: page.items.map(detail) }
  }

  async modify(
    scope: Scope,
    id: string,
    patch: Partial<Pick<NetworkInterface, 'description' | 'sourceDestCheck'>>,
  ): Promise<void> {
    checkDescription(patch.description ?? '')
    await this.#deps.state.transaction(async (tx) => {
      await changeable(tx, scope, id)
      await tx.networks.updateInterface(id, patch)
    })
  }

  /** Throws InvalidGroup.NotFound, SecurityGroupsPerInterfaceLimitExceeded. */
  async setGroups(scope: Scope, id: string, groupIds: readonly string[]): Promise<void> {
    checkGroupCount(groupIds)
    const vpcId = await this.#deps.state.transaction(async (tx) => {
      const nic = await changeable(tx, scope, id)
      await tx.networks.setInterfaceGroups(id, await groupsIn(tx, scope, nic.vpcId, groupIds))
      return nic.vpcId
    })
    await applyVpc(this.#deps, vpcId)
  }

  /** Throws InvalidAttachmentID.NotFound when that is not how it is attached. */
  async setDeleteOnTermination(scope: Scope, id: string, attachmentId: string, isDeleted: boolean): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const nic = await changeable(tx, scope, id)
      if (nic.attachmentId !== attachmentId) throw attachmentNotFound(attachmentId)
      await tx.networks.updateInterface(id, { deleteOnTermination: isDeleted ? 1 : 0 })
    })
  }

  /**
   * The id of the attachment, `attaching`; a running guest sees the card a moment later. Throws InvalidInstanceID.NotFound,
   * IncorrectInstanceState, InvalidNetworkInterface.InUse, AttachmentLimitExceeded.
   */
  async attach(scope: Scope, id: string, instanceId: string, deviceIndex: number): Promise<string> {
    const { state, operations, random, clock } = this.#deps
    checkCardsArePossible(this.#deps)
    const attachmentId = newId('networkInterfaceAttachment', random)
    await state.transaction(async (tx) => {
      const nic = await unattachedInterface(tx, scope, id)
      const instance = await ownedInstance(tx, scope, instanceId)
      checkPlaces(nic, instance, await tx.networks.interfacesOf([instanceId]), deviceIndex)
      const place = { instanceId, attachmentId, deviceIndex, attachedAt: clock.now() }
      await tx.networks.updateInterface(id, { ...place, attachmentState: 'attaching', deleteOnTermination: 0 })
      const input: InterfaceInput = { attachmentId }
      await operations.enqueue(tx, { kind: attachInterfaceKind, subjectId: id, ...scope, input })
    })
    operations.wake()
    return attachmentId
  }

  /** It is `detaching` until the guest has let go. Throws InvalidAttachmentID.NotFound, OperationNotPermitted, IncorrectState. */
  async detach(scope: Scope, attachmentId: string, { force }: { force: boolean }): Promise<void> {
    const { state, operations } = this.#deps
    const isLeaving = await state.transaction(async (tx) => {
      const nic = owned(await tx.networks.attachedAs(attachmentId), scope, () => attachmentNotFound(attachmentId))
      if (nic.deviceIndex === 0) {
        throw new KilnError(
          'OperationNotPermitted',
          'The network interface at device index 0 cannot be detached (AttachmentId)',
        )
      }
      if (nic.attachmentState === 'detaching') {
        if (force) return nic
        throw new KilnError('IncorrectState', `The attachment '${attachmentId}' is in the 'detaching' state already.`)
      }
      await tx.networks.updateInterface(nic.id, { attachmentState: 'detaching' })
      const input: DetachInterfaceInput = { attachmentId, force }
      await operations.enqueue(tx, { kind: detachInterfaceKind, subjectId: nic.id, ...scope, input })
      return undefined
    })
    // The operation of an earlier request, which waits for the guest, then finds the card cut off.
    if (isLeaving) await this.#cutOff(isLeaving)
    operations.wake()
  }

  async #cutOff({ instanceId, deviceIndex }: NetworkInterface): Promise<void> {
    const { locks, machines } = this.#deps
    await locks.hold(instanceId!, async () => {
      const isThere = (await machines.inspect(instanceId!)).state !== 'absent'
      if (isThere) await machines.unplugNic(instanceId!, deviceIndex!, { force: true })
    })
  }

  /** Throws InvalidNetworkInterface.InUse while an instance has it. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      refuseAttached(await changeable(tx, scope, id))
      await tx.networks.deleteInterfaces([id])
      await tx.tags.removeAll(id)
    })
  }
}

/** One that the account may change. Throws InvalidNetworkInterfaceID.NotFound, OperationNotPermitted. */
async function changeable(tx: Repositories, scope: Scope, id: string): Promise<NetworkInterface> {
  const [row] = await tx.networks.interfaces([id])
  const nic = owned(row, scope, () => interfaceNotFound(id))
  if (nic.kind === 'interface') return nic
  throw new KilnError(
    'OperationNotPermitted',
    `You are not allowed to manage the network interface ${id}: a NAT gateway does`,
  )
}

/** An interface that can be given to an instance. Throws as {@link changeable}, and InvalidNetworkInterface.InUse. */
export async function unattachedInterface(tx: Repositories, scope: Scope, id: string): Promise<NetworkInterface> {
  const nic = await changeable(tx, scope, id)
  refuseAttached(nic)
  return nic
}

function refuseAttached({ id, instanceId }: NetworkInterface): void {
  if (instanceId === null) return
  throw new KilnError('InvalidNetworkInterface.InUse', `The network interface '${id}' is currently in use.`)
}

/** Source: "Attach a network interface" in the EC2 user guide. */
function checkPlaces(
  nic: NetworkInterface,
  instance: Instance,
  present: readonly NetworkInterface[],
  deviceIndex: number,
): void {
  if (instance.state !== 'running' && instance.state !== 'stopped') {
    throw new KilnError('IncorrectInstanceState', `Instance '${instance.id}' is not 'running' or 'stopped'.`)
  }
  if (nic.vpcId !== instance.vpcId || nic.zone !== instance.zone) {
    throw new KilnError(
      'InvalidParameterCombination',
      `The network interface ${nic.id} and the instance ${instance.id} are not in the same VPC and availability zone`,
    )
  }
  if (present.some((other) => other.deviceIndex === deviceIndex)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Instance '${instance.id}' already has an interface attached at device index '${deviceIndex}' (DeviceIndex).`,
    )
  }
  checkInterfaceCount(present.length + 1)
  checkCardIndex(deviceIndex)
}

/** Throws UnsupportedOperation where machines have one interface. */
export function checkCardsArePossible({ network }: CloudDeps): void {
  if (network.kind !== 'user') return
  throw new KilnError('UnsupportedOperation', 'On this host machines have one network interface: kiln doctor says why')
}

/** Of an instance. Throws AttachmentLimitExceeded. */
export function checkInterfaceCount(count: number): void {
  if (count <= limits.interfacesPerInstance) return
  throw new KilnError(
    'AttachmentLimitExceeded',
    `Interface count ${count} exceeds the limit of an instance: ${limits.interfacesPerInstance}`,
  )
}

/** Of a further interface. Throws InvalidParameterValue. */
export function checkCardIndex(deviceIndex: number): void {
  if (deviceIndex > 0 && deviceIndex < limits.interfacesPerInstance) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${deviceIndex}) for parameter DeviceIndex is invalid. It must be from 1 to ${limits.interfacesPerInstance - 1}.`,
  )
}

const attachmentNotFound = (id: string) =>
  new KilnError('InvalidAttachmentID.NotFound', `The attachment ID '${id}' does not exist`)

/** Throws InvalidParameterValue for one that is too long. */
export function checkDescription(description: string): void {
  if (description.length <= descriptionMax) return
  throw new KilnError('InvalidParameterValue', `The Description is longer than ${descriptionMax} characters`)
}

/** The groups, or the default one. Throws InvalidGroup.NotFound, InvalidParameterValue for one of another VPC. */
export async function groupsIn(
  tx: Repositories,
  scope: Scope,
  vpcId: string,
  ids: readonly string[],
): Promise<string[]> {
  if (ids.length === 0) return [(await tx.networks.securityGroupByName(vpcId, 'default'))!.id]
  for (const id of ids) {
    if ((await findGroup(tx, scope, { id })).vpcId === vpcId) continue
    throw new KilnError(
      'InvalidParameterValue',
      `Security group ${id} (SecurityGroupId) and the subnet belong to different networks.`,
    )
  }
  return [...new Set(ids)]
}

/** A row that no instance has. Throws InvalidIPAddress.InUse, InsufficientFreeAddressesInSubnet, InvalidParameterValue. */
export async function newInterface(
  { random, clock }: CloudDeps,
  tx: Repositories,
  subnet: Subnet,
  about: { privateIp: string | undefined; description: string; kind?: NetworkInterface['kind'] },
): Promise<NetworkInterface> {
  const { accountId, region, zone, vpcId, id: subnetId } = subnet
  const taken = await tx.networks.privateIpsIn(subnetId)
  if (about.privateIp !== undefined) checkPrivateIp(subnet, about.privateIp, taken)
  return {
    ...{ accountId, region, zone, vpcId, subnetId, id: newId('networkInterface', random) },
    ...{ kind: about.kind ?? 'interface', description: about.description, mac: newMac(random) },
    ...{ privateIp: about.privateIp ?? pickPrivateIp(subnet, taken, random), publicIp: null },
    ...{ allocationId: null, associationId: null, sourceDestCheck: 1, instanceId: null, attachmentId: null },
    ...{ attachedAt: null, deviceIndex: null, attachmentState: null, deleteOnTermination: 0, createdAt: clock.now() },
  }
}
