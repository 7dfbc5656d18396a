/** What several steps of the tour do. */
import type { DescribeInstancesResult, Image, Instance } from '@aws-sdk/client-ec2'
import type { InputOf } from '../client.ts'
import type { Login } from './guest.ts'
import type { Tour } from './tour.ts'

export interface Machine {
  id: string
  /** Its public address, 127.x.y.z. */
  address: string
  /** Unless the root lies in the instance store. */
  rootVolumeId: string | undefined
}

/** What logins need, once there is a key and a door. */
export interface Doors {
  keyPath: string
  publicKey: string
  /** The security group's id, by region. */
  groups: Record<string, string>
}

export const login = ({ keyPath }: Doors, { address }: Machine): Login => ({ address, keyPath })

const instancesOf = ({ Reservations: all = [] }: DescribeInstancesResult): Instance[] =>
  all.flatMap((reservation) => reservation.Instances ?? [])

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
  doors: Doors,
  region: string,
  wish: Wish,
  count: number,
  shown?: Readonly<Record<string, string>>,
): Promise<Machine[]> {
  return boots(tour, region, await begin(tour, doors, region, wish, count, shown))
}

type Wish = Omit<InputOf<'RunInstances'>, 'MinCount' | 'MaxCount'>

/** Launches, and does not wait; the instances' ids. */
async function begin(
  tour: Tour,
  doors: Doors,
  region: string,
  wish: Wish,
  count: number,
  shown?: Readonly<Record<string, string>>,
): Promise<string[]> {
  const door = { KeyName: 'tour', SecurityGroupIds: [doors.groups[region]!] }
  const input = { ...wish, ...door, MinCount: count, MaxCount: count }
  const { Instances: instances = [] } = await tour.call(region, 'RunInstances', input, { shown })
  return instances.map((instance) => instance.InstanceId!)
}

/** Launches one, and tells how many milliseconds passed until it took a login. */
export async function launchToLogin(
  tour: Tour,
  doors: Doors,
  region: string,
  wish: Wish,
): Promise<{ machine: Machine; tookMs: number }> {
  const startedAtMs = performance.now()
  const [machine] = await running(tour, region, await begin(tour, doors, region, wish, 1))
  await tour.ssh(login(doors, machine!), 'uptime')
  return { machine: machine!, tookMs: performance.now() - startedAtMs }
}

/** Waits until the instances run and pass their status checks, and tells where they are. */
export async function boots(tour: Tour, region: string, ids: string[]): Promise<Machine[]> {
  const machines = await running(tour, region, ids)
  const wish = { InstanceIds: ids }
  await tour.wait(region, 'instance-status-ok', ['DescribeInstanceStatus', wish], ({ InstanceStatuses: all = [] }) => {
    const impaired = all.find((one) => one.InstanceStatus?.Status === 'impaired')
    if (impaired) throw new Error(`${impaired.InstanceId} runs and does not answer`)
    return all.length === ids.length && all.every((one) => one.InstanceStatus?.Status === 'ok') ? true : undefined
  })
  return machines
}

async function running(tour: Tour, region: string, ids: string[]): Promise<Machine[]> {
  const wish = { InstanceIds: ids }
  const instances = await tour.wait(region, 'instance-running', ['DescribeInstances', wish], (answer) => {
    const found = instancesOf(answer)
    const ended = found.find((one) => one.State?.Name === 'terminated' || one.State?.Name === 'stopped')
    if (ended) throw new Error(`${ended.InstanceId} did not start: ${ended.StateReason?.Message ?? ended.State?.Name}`)
    return found.every((one) => one.State?.Name === 'running') ? found : undefined
  })
  return ids.map((id) => machineOf(instances.find((instance) => instance.InstanceId === id)!))
}

function machineOf(instance: Instance): Machine {
  const root = instance.BlockDeviceMappings?.find((device) => device.DeviceName === instance.RootDeviceName)
  if (!instance.PublicIpAddress) throw new Error(`${instance.InstanceId} has no public address`)
  return { id: instance.InstanceId!, address: instance.PublicIpAddress, rootVolumeId: root?.Ebs?.VolumeId }
}

export function imageAvailable(tour: Tour, region: string, id: string): Promise<Image> {
  return tour.wait(region, 'image-available', ['DescribeImages', { ImageIds: [id] }], (answer) => {
    const image = answer.Images?.[0]
    if (image?.State === 'failed') throw new Error(`${id} failed: ${image.StateReason?.Message}`)
    return image?.State === 'available' ? image : undefined
  })
}

export function stopped(tour: Tour, region: string, id: string): Promise<true> {
  return reached(tour, region, [id], 'stopped')
}

export function terminated(tour: Tour, region: string, ids: string[]): Promise<true> {
  return reached(tour, region, ids, 'terminated')
}

function reached(tour: Tour, region: string, ids: string[], state: 'stopped' | 'terminated'): Promise<true> {
  return tour.wait(region, `instance-${state}`, ['DescribeInstances', { InstanceIds: ids }], (answer) =>
    instancesOf(answer).every((instance) => instance.State?.Name === state) ? true : undefined,
  )
}

export function volumeIs(tour: Tour, region: string, id: string, state: 'available' | 'in-use'): Promise<true> {
  return tour.wait(region, `volume-${state}`, ['DescribeVolumes', { VolumeIds: [id] }], (answer) =>
    answer.Volumes?.[0]?.State === state ? true : undefined,
  )
}
