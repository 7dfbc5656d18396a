/** An instance with all that belongs to it, read in a few queries for a whole page. */

import type { InstanceProfileAssociation } from '../../state/instance-profile-associations.ts'
import type { Instance } from '../../state/instances.ts'
import type { NetworkInterface, SecurityGroup } from '../../state/networks.ts'
import type { State } from '../../state/state.ts'
import type { VolumeAttachment } from '../../state/volumes.ts'

export interface InterfaceView extends NetworkInterface {
  groups: SecurityGroup[]
}

export interface InstanceView extends Instance {
  interfaces: InterfaceView[]
  attachments: VolumeAttachment[]
  profile: InstanceProfileAssociation | null
}

export async function instanceViews(state: State, instances: readonly Instance[]): Promise<InstanceView[]> {
  const ids = instances.map((instance) => instance.id)
  const interfaces = await state.networks.interfacesOf(ids)
  const groupsOf = await state.networks.groupsOfInterfaces(interfaces.map((row) => row.id))
  const groups = await state.networks.securityGroups([...new Set([...groupsOf.values()].flat())])
  const attachments = await state.volumes.attachmentsOfInstances(ids)
  const profiles = await state.instanceProfileAssociations.of(ids)
  const profileByInstance = new Map(profiles.map((row) => [row.instanceId, row]))
  const interfacesByInstance = Map.groupBy(interfaces, (row) => row.instanceId)
  const attachmentsByInstance = Map.groupBy(attachments, (row) => row.instanceId)
  const groupById = new Map(groups.map((group) => [group.id, group]))
  return instances.map((instance) => ({
    ...instance,
    interfaces: (interfacesByInstance.get(instance.id) ?? []).map((row) => ({
      ...row,
      groups: groupsOf.get(row.id)!.flatMap((id) => groupById.get(id) ?? []),
    })),
    attachments: attachmentsByInstance.get(instance.id) ?? [],
    profile: profileByInstance.get(instance.id) ?? null,
  }))
}
