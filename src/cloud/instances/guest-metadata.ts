/** What the metadata service tells a guest about itself. The guest is known by where its packets come from. */
import type { InstanceDisk } from '../../state/instance-disks.ts'
import type { Subnet, Vpc } from '../../state/networks.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps } from '../deps.ts'
import { type InstanceView, instanceViews } from './instance-views.ts'

export interface GuestMetadata {
  instance: InstanceView
  vpc: Vpc
  /** Of its interfaces. */
  subnets: Subnet[]
  /** One line in OpenSSH form. */
  publicKey: string | null
  /** Disks in the instance store, the root among them if it lies there. */
  instanceDisks: InstanceDisk[]
  /** Where the manifest of an instance-store image lies; null for EBS-backed ones. */
  imageLocation: string | null
  tags: Tag[]
}

/** Which instance has the address, and whose it is. */
export async function guestAt(
  { state }: CloudDeps,
  vpcId: string,
  privateIp: string,
): Promise<{ instanceId: string; accountId: string } | null> {
  const nic = await state.networks.interfaceAt(vpcId, privateIp)
  const row = nic?.instanceId ? await state.instances.get(nic.instanceId) : undefined
  return row ? { instanceId: row.id, accountId: row.accountId } : null
}

export async function guestMetadataAt(
  { state }: CloudDeps,
  vpcId: string,
  privateIp: string,
): Promise<GuestMetadata | null> {
  const nic = await state.networks.interfaceAt(vpcId, privateIp)
  const row = nic?.instanceId ? await state.instances.get(nic.instanceId) : undefined
  const vpc = await state.networks.vpc(vpcId)
  if (!row || !vpc) return null
  const [instance] = await instanceViews(state, [row])
  const key = row.keyName ? await state.keyPairs.named(row.accountId, row.region, row.keyName) : undefined
  const image = await state.images.get(row.imageId)
  return {
    instance: instance!,
    vpc,
    subnets: await state.networks.subnets(instance!.interfaces.map((one) => one.subnetId)),
    publicKey: key?.publicKey ?? null,
    instanceDisks: await state.instanceDisks.of([row.id]),
    imageLocation: image?.imageLocation ?? null,
    tags: (await state.tags.of(row.accountId, [row.id])).get(row.id)!,
  }
}
