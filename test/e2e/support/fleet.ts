/** A caller with a key pair and an open SSH port in one region: launches instances and logs in to them. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateKeyPairCommand,
  CreateSecurityGroupCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  EC2Client,
  type Instance,
  RunInstancesCommand,
  type RunInstancesCommandInput,
  TerminateInstancesCommand,
  waitUntilInstanceStatusOk,
  waitUntilInstanceTerminated,
} from '@aws-sdk/client-ec2'
import { systemClock } from '../../../src/lib/clock.ts'
import { ProgramError, run } from '../../../src/lib/programs.ts'
import type { RunningKiln } from './kiln.ts'

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
  /** Runs a command line as ec2-user; its standard output, trimmed. Waits for the login to become possible. */
  ssh(instanceId: string, command: string): Promise<string>
  terminate(instanceIds: string[]): Promise<void>
  /** Takes up the daemon's new address after a restart. */
  reconnect(): void
}

const sshUnreachable = 255
const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 240 }

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
      if (isWaitedFor) await waitUntilInstanceStatusOk({ client: ec2, ...waiting }, { InstanceIds: ids })
      return ids
    },
    async ssh(instanceId, command) {
      const address = (await describe(instanceId)).PublicIpAddress
      const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=10']
      const login = ['-F', 'none', '-q', '-i', keyPath, ...options.flatMap((option) => ['-o', option])]
      for (let attempt = 0; ; attempt++) {
        try {
          return (await run('ssh', [...login, `ec2-user@${address}`, command], { timeoutMs: 240_000 })).trim()
        } catch (error) {
          const isUnreachable = error instanceof ProgramError && error.exitCode === sshUnreachable
          if (!isUnreachable || attempt >= 600) throw error
          await systemClock.sleep(100)
        }
      }
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
