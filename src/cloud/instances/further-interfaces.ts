/**
 * The network interfaces of a launch besides the primary one: checked before the launch is written, and written with it.
 * Source: "Elastic network interfaces" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { Instance } from '../../state/instances.ts'
import type { NetworkInterface, Subnet } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import {
  checkCardIndex,
  checkCardsArePossible,
  checkDescription,
  checkInterfaceCount,
  groupsIn,
  newInterface,
  unattachedInterface,
} from '../network/interfaces.ts'
import { ownedSubnet } from '../network/subnets.ts'
import { checkGroupCount } from './group-count.ts'

/** One that is there already, or one that is made: in the subnet of the primary interface unless another is named. */
export interface InterfaceWish {
  deviceIndex: number
  interfaceId: string | null
  subnetId: string | null
  groupIds: readonly string[]
  privateIp: string | null
  description: string
  /** Whether it goes with the instance. */
  deletesInterface: boolean
}

/** A wish that was checked. */
export interface PlannedInterface {
  wish: InterfaceWish
  subnet: Subnet
  groupIds: readonly string[]
}

/** Throws what AttachNetworkInterface and CreateNetworkInterface do, and InvalidParameterCombination for several instances. */
export async function planInterfaces(
  deps: CloudDeps,
  scope: Scope,
  { wishes, primary, maxCount }: { wishes: readonly InterfaceWish[]; primary: Subnet; maxCount: number },
): Promise<PlannedInterface[]> {
  const { state } = deps
  if (wishes.length > 0) checkCardsArePossible(deps)
  checkInterfaceCount(wishes.length + 1)
  checkIndexes(wishes)
  const planned: PlannedInterface[] = []
  for (const wish of wishes) {
    if (maxCount > 1 && (wish.interfaceId || wish.privateIp)) {
      throw new KilnError(
        'InvalidParameterCombination',
        'A NetworkInterfaceId or PrivateIpAddress (NetworkInterface) can be given to one instance only (MaxCount)',
      )
    }
    checkDescription(wish.description)
    checkGroupCount(wish.groupIds)
    const given = wish.interfaceId ? await unattachedInterface(state, scope, wish.interfaceId) : undefined
    const subnet = await ownedSubnet(state, scope, given?.subnetId ?? wish.subnetId ?? primary.id)
    if (subnet.vpcId !== primary.vpcId || subnet.zone !== primary.zone) {
      throw new KilnError(
        'InvalidParameterCombination',
        `The network interfaces of an instance are in one VPC and availability zone: ${subnet.id} is not where ${primary.id} is`,
      )
    }
    planned.push({ wish, subnet, groupIds: given ? [] : await groupsIn(state, scope, subnet.vpcId, wish.groupIds) })
  }
  return planned
}

function checkIndexes(wishes: readonly InterfaceWish[]): void {
  const seen = new Set<number>()
  for (const { deviceIndex } of wishes) {
    checkCardIndex(deviceIndex)
    if (seen.has(deviceIndex)) {
      throw new KilnError(
        'InvalidParameterValue',
        `Each network interface requires a unique device index: ${deviceIndex} is given twice (NetworkInterface.DeviceIndex)`,
      )
    }
    seen.add(deviceIndex)
  }
}

/** The columns of an interface that a new instance has from its beginning. */
export function attachmentOf(
  { random }: CloudDeps,
  instance: Instance,
  { deviceIndex, deletesInterface }: Pick<InterfaceWish, 'deviceIndex' | 'deletesInterface'>,
) {
  const attachmentId = newId('networkInterfaceAttachment', random)
  const deleteOnTermination = deletesInterface ? (1 as const) : (0 as const)
  const place = { deviceIndex, attachmentState: 'attached' } as const
  return { instanceId: instance.id, attachmentId, attachedAt: instance.createdAt, deleteOnTermination, ...place }
}

/** Gives the instance, whose row is there, its further interfaces. Those that were made for it, without their tags. */
export async function writeInterfaces(
  deps: CloudDeps,
  tx: Repositories,
  scope: Scope,
  instance: Instance,
  planned: readonly PlannedInterface[],
): Promise<NetworkInterface[]> {
  const made: NetworkInterface[] = []
  for (const { wish, subnet, groupIds } of planned) {
    const place = attachmentOf(deps, instance, wish)
    if (wish.interfaceId) {
      const given = await unattachedInterface(tx, scope, wish.interfaceId)
      await tx.networks.updateInterface(given.id, place)
      continue
    }
    const about = { privateIp: wish.privateIp ?? undefined, description: wish.description }
    const row = { ...(await newInterface(deps, tx, subnet, about)), ...place }
    await tx.networks.insertInterfaces([row], groupIds)
    made.push(row)
  }
  return made
}
