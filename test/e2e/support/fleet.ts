/** A caller with a key pair and an open SSH port in one region: launches instances and logs in to them. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateKeyPairCommand,
  CreateSecurityGroupCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  EC2Client,
  GetConsoleOutputCommand,
  type Instance,
  RunInstancesCommand,
  type RunInstancesCommandInput,
  TerminateInstancesCommand,
  waitUntilInstanceStatusOk,
  waitUntilInstanceTerminated,
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect } from 'vitest'
import { systemClock } from '../../../src/lib/clock.ts'
import { ProgramError, run } from '../../../src/lib/programs.ts'
import { type RunningKiln, type StartOptions, startKiln } from './kiln.ts'

export interface LaunchWish {
  imageId?: string
  instanceType?: RunInstancesCommandInput['InstanceType']
  count?: number
  /** False: resolves as soon as they are pending. */
  isWaitedFor?: boolean
  more?: Partial<RunInstancesCommandInput>
}

export interface Fleet {
  readonly ec2: EC2Client
  /** The id of Kiln Linux in this region. */
  readonly kilnLinux: string
  /** Ids of new instances, all of them running and passing their checks (unless nobody waits for that). */
  launch(wish: LaunchWish): Promise<string[]>
  describe(instanceId: string): Promise<Instance>
  /** Runs a command line as ec2-user, or as the image's own user; its standard output, trimmed. Waits for the login to become possible. */
  ssh(instanceId: string, command: string, user?: string): Promise<string>
  /** Attaches the volume once it is available; `/dev/vdX`, its name within the guest, once that sees it. */
  attach(volumeId: string, instanceId: string, device: string): Promise<string>
  /** The guest's `/dev/vdX` whose serial is the volume's id, once it sees it. */
  disk(instanceId: string, volumeId: string): Promise<string>
  /** Whether the guest has the volume now. */
  hasDisk(instanceId: string, volumeId: string): Promise<boolean>
  terminate(instanceIds: string[]): Promise<void>
  /** Takes up the daemon's new address after a restart. */
  reconnect(): void
}

const sshUnreachable = 255
const diskSeenMs = 40_000
/** How the official client's waiters shall wait. */
export const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 420 }

/** What all tests of a file work on, once their file has begun. */
export interface Stage {
  kiln: RunningKiln
  fleet: Fleet
  /** A running instance of Kiln Linux. */
  instance: string
}

/** A Kiln with real machines, a fleet on it, and its first instance unless that is not wanted. */
export function useFleet({
  hasInstance = true,
  accountId,
  ...options
}: StartOptions & { hasInstance?: boolean; accountId?: string } = {}): Readonly<Stage> {
  const stage = {} as Stage
  beforeAll(async () => {
    stage.kiln = await startKiln({ machines: 'qemu', ...options })
    stage.fleet = await prepareFleet(stage.kiln, undefined, accountId)
    if (hasInstance) [stage.instance] = (await stage.fleet.launch({})) as [string]
  })
  afterAll(() => stage.kiln?.cleanup())
  return stage
}

export async function prepareFleet(
  kiln: RunningKiln,
  region = 'us-east-1',
  accountId = '111122223333',
): Promise<Fleet> {
  const connect = () =>
    new EC2Client({
      endpoint: kiln.url,
      region,
      credentials: { accessKeyId: accountId, secretAccessKey: 'any' },
    })
  let ec2 = connect()
  const { KeyMaterial: key } = await ec2.send(new CreateKeyPairCommand({ KeyName: 'fleet', KeyType: 'ed25519' }))
  const keyPath = join(await mkdtemp(join(kiln.home, 'key-')), 'fleet.pem')
  await writeFile(keyPath, key!, { mode: 0o600 })
  const { GroupId: groupId } = await ec2.send(
    new CreateSecurityGroupCommand({ GroupName: 'fleet', Description: 'logins' }),
  )
  await ec2.send(
    new AuthorizeSecurityGroupIngressCommand({
      GroupId: groupId,
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '0.0.0.0/0' }] }],
    }),
  )
  const { Images: images } = await ec2.send(
    new DescribeImagesCommand({ Owners: ['amazon'], Filters: [{ Name: 'name', Values: ['kiln-linux-*-ebs'] }] }),
  )
  const kilnLinux = images![0]!.ImageId!

  async function describe(instanceId: string): Promise<Instance> {
    const { Reservations: found } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }))
    return found![0]!.Instances![0]!
  }

  /** How far an instance has come, for whoever waited for it in vain. */
  async function progressOf(instanceId: string): Promise<string> {
    const { State: state, StateReason: reason } = await describe(instanceId)
    const { Output: output = '' } = await ec2.send(
      new GetConsoleOutputCommand({ InstanceId: instanceId, Latest: true }),
    )
    const said = Buffer.from(output, 'base64').toString().slice(-3000)
    return `${instanceId} is ${state?.Name} (${reason?.Message ?? 'no reason'}) and not ok; its console ends with:\n${said}`
  }

  async function ssh(instanceId: string, command: string, user = 'ec2-user'): Promise<string> {
    const address = (await describe(instanceId)).PublicIpAddress
    const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=10']
    const login = ['-F', 'none', '-q', '-i', keyPath, ...options.flatMap((option) => ['-o', option])]
    for (let attempt = 0; ; attempt++) {
      try {
        return (await run('ssh', [...login, `${user}@${address}`, command], { timeoutMs: 240_000 })).trim()
      } catch (error) {
        const isUnreachable = error instanceof ProgramError && error.exitCode === sshUnreachable
        if (!isUnreachable || attempt >= 600) throw error
        await systemClock.sleep(100)
      }
    }
  }

  const seenAs = (instanceId: string, volumeId: string) =>
    ssh(instanceId, `grep -l ${volumeId.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`).catch(() => '')

  async function disk(instanceId: string, volumeId: string): Promise<string> {
    await expect.poll(() => seenAs(instanceId, volumeId), { timeout: diskSeenMs }).toMatch(/^vd[a-z]$/)
    return `/dev/${await seenAs(instanceId, volumeId)}`
  }

  return {
    get ec2() {
      return ec2
    },
    kilnLinux,
    describe,
    async launch({ imageId = kilnLinux, instanceType = 't3.nano', count = 1, isWaitedFor = true, more = {} }) {
      const { Instances: made } = await ec2.send(
        new RunInstancesCommand({
          ImageId: imageId,
          InstanceType: instanceType,
          MinCount: count,
          MaxCount: count,
          KeyName: 'fleet',
          SecurityGroupIds: [groupId!],
          ...more,
        }),
      )
      const ids = made!.map((instance) => instance.InstanceId!)
      if (isWaitedFor) {
        await waitUntilInstanceStatusOk({ client: ec2, ...waiting }, { InstanceIds: ids }).catch(async (cause) => {
          throw new Error((await Promise.all(ids.map(progressOf))).join('\n'), { cause })
        })
      }
      return ids
    },
    ssh,
    disk,
    hasDisk: async (instanceId, volumeId) => (await seenAs(instanceId, volumeId)) !== '',
    async attach(volumeId, instanceId, device) {
      const ids = { VolumeIds: [volumeId] }
      await waitUntilVolumeAvailable({ client: ec2, ...waiting }, ids)
      await ec2.send(new AttachVolumeCommand({ VolumeId: volumeId, InstanceId: instanceId, Device: device }))
      await waitUntilVolumeInUse({ client: ec2, ...waiting }, ids)
      return disk(instanceId, volumeId)
    },
    async terminate(instanceIds) {
      await ec2.send(new TerminateInstancesCommand({ InstanceIds: instanceIds }))
      await waitUntilInstanceTerminated({ client: ec2, ...waiting }, { InstanceIds: instanceIds })
    },
    reconnect() {
      ec2.destroy()
      ec2 = connect()
    },
  }
}
