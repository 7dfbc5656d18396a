/** What several steps of the tour do. */
import type { DescribeInstancesResult, Image, Instance } from '@aws-sdk/client-ec2'
import type { InputOf } from '../client.ts'
import type { Seen } from './steps.ts'
import type { Tour } from './tour.ts'

export interface Machine {
  id: string
  /** Its public address, 127.x.y.z. */
  address: string
  rootVolumeId: string
}

export function freshInstance(answer: DescribeInstancesResult): Instance | undefined {
  return answer.Reservations?.[0]?.Instances?.[0]
}

/** A security group that lets SSH in; its id. */
export async function openDoor(tour: Tour, region: string): Promise<string> {
  const wish = { GroupName: 'tour', Description: 'Logins' }
  const { GroupId: id } = await tour.call(region, 'CreateSecurityGroup', wish)
  const ssh = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '0.0.0.0/0' }] }
  await tour.call(region, 'AuthorizeSecurityGroupIngress', { GroupId: id, IpPermissions: [ssh] })
  return id!
}

/** Launches with the tour's key and door, and waits until all of them are up. */
export async function launch(
  tour: Tour,
  seen: Seen,
  region: string,
  wish: Omit<InputOf<'RunInstances'>, 'MinCount' | 'MaxCount'>,
  count: number,
  shown?: Readonly<Record<string, string>>,
): Promise<Machine[]> {
  const door = { KeyName: 'tour', SecurityGroupIds: [seen.groups[region]!] }
  const input = { ...wish, ...door, MinCount: count, MaxCount: count }
  const { Instances: instances = [] } = await tour.call(region, 'RunInstances', input, { shown })
  return boots(
    tour,
    region,
    instances.map((instance) => instance.InstanceId!),
  )
}

/** Waits until the instances run and pass their status checks, and tells where they are. */
export async function boots(tour: Tour, region: string, ids: string[]): Promise<Machine[]> {
  const wish = { InstanceIds: ids }
  const instances = await tour.wait(region, 'instance-running', ['DescribeInstances', wish], (answer) => {
    const found = answer.Reservations?.flatMap((reservation) => reservation.Instances ?? []) ?? []
    const ended = found.find((one) => one.State?.Name === 'terminated' || one.State?.Name === 'stopped')
    if (ended) throw new Error(`${ended.InstanceId} did not start: ${ended.StateReason?.Message ?? ended.State?.Name}`)
    return found.every((one) => one.State?.Name === 'running') ? found : undefined
  })
  await tour.wait(region, 'instance-status-ok', ['DescribeInstanceStatus', wish], ({ InstanceStatuses: all = [] }) => {
    const impaired = all.find((one) => one.InstanceStatus?.Status === 'impaired')
    if (impaired) throw new Error(`${impaired.InstanceId} runs and does not answer`)
    return all.length === ids.length && all.every((one) => one.InstanceStatus?.Status === 'ok') ? true : undefined
  })
  return ids.map((id) => machineOf(instances.find((instance) => instance.InstanceId === id)!))
}

function machineOf(instance: Instance): Machine {
  const root = instance.BlockDeviceMappings?.find((device) => device.DeviceName === instance.RootDeviceName)
  if (!instance.PublicIpAddress) throw new Error(`${instance.InstanceId} has no public address`)
  return { id: instance.InstanceId!, address: instance.PublicIpAddress, rootVolumeId: root!.Ebs!.VolumeId! }
}

export function imageAvailable(tour: Tour, region: string, id: string): Promise<Image> {
  return tour.wait(region, 'image-available', ['DescribeImages', { ImageIds: [id] }], (answer) => {
    const image = answer.Images?.[0]
    if (image?.State === 'failed') throw new Error(`${id} failed: ${image.StateReason?.Message}`)
    return image?.State === 'available' ? image : undefined
  })
}

export function terminated(tour: Tour, region: string, ids: string[]): Promise<true> {
  return tour.wait(region, 'instance-terminated', ['DescribeInstances', { InstanceIds: ids }], (answer) => {
    const all = answer.Reservations?.flatMap((reservation) => reservation.Instances ?? []) ?? []
    return all.every((instance) => instance.State?.Name === 'terminated') ? true : undefined
  })
}
