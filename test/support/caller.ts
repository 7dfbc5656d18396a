/** An account that launches instances on a test cloud and waits for what becomes of them. */
import {
  CreateImageCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  type EC2Client,
  type Image,
  type Instance,
  type InstanceStateName,
  RunInstancesCommand,
  type RunInstancesCommandInput,
} from '@aws-sdk/client-ec2'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import type { ServedCloud } from './served-cloud.ts'

const withinMs = 60_000

export interface Caller {
  readonly ec2: EC2Client
  /** The public image's id in this region. */
  readonly seedImage: string
  /** New instances, in the order of their launch, all in that state. */
  launch(more?: Partial<RunInstancesCommandInput>, state?: InstanceStateName): Promise<[Instance, ...Instance[]]>
  describe(instanceId: string): Promise<Instance>
  /** Waits for the instance to come to that state. */
  reaches(instanceId: string, state: InstanceStateName): Promise<Instance>
  /** The image that CreateImage makes of the instance, available. */
  imageOf(instanceId: string, name: string, noReboot?: boolean): Promise<Image>
  /** The image, once it is no longer pending. */
  image(imageId: string): Promise<Image>
  /** Resolves when no work is left in the whole cloud. */
  quiet(): Promise<void>
}

export async function callerOf(served: ServedCloud, accountId: string, region?: string): Promise<Caller> {
  const ec2 = served.client(accountId, region)
  const seeds = await ec2.send(new DescribeImagesCommand({ Owners: ['amazon'] }))
  const seedImage = seeds.Images![0]!.ImageId!

  async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
    const found = await waitFor(systemClock, probe, { everyMs: 30, timeoutMs: withinMs })
    if (found === undefined) throw new Error(`${what} did not come within ${withinMs} ms`)
    return found
  }

  async function describe(instanceId: string): Promise<Instance> {
    const { Reservations: found } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }))
    return found![0]!.Instances![0]!
  }

  const reaches: Caller['reaches'] = (instanceId, state) =>
    eventually(`${instanceId} ${state}`, async () => {
      const instance = await describe(instanceId)
      return instance.State!.Name === state ? instance : undefined
    })

  const image: Caller['image'] = (imageId) =>
    eventually(`the end of making ${imageId}`, async () => {
      const { Images: found } = await ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
      return found![0]!.State === 'pending' ? undefined : found![0]!
    })

  return {
    ec2,
    seedImage,
    describe,
    reaches,
    image,
    async launch(more = {}, state = 'running') {
      const { Instances: made } = await ec2.send(
        new RunInstancesCommand({
          ImageId: seedImage,
          InstanceType: 't3.nano',
          MinCount: more.MaxCount ?? 1,
          MaxCount: 1,
          ...more,
        }),
      )
      const instances = await Promise.all(made!.map((instance) => reaches(instance.InstanceId!, state)))
      return instances as [Instance, ...Instance[]]
    },
    async imageOf(instanceId, name, noReboot = true) {
      const made = await ec2.send(new CreateImageCommand({ InstanceId: instanceId, Name: name, NoReboot: noReboot }))
      return image(made.ImageId!)
    },
    async quiet() {
      await eventually('the end of all work', async () =>
        (await served.deps.state.operations.unfinished(1)).length === 0 ? true : undefined,
      )
    },
  }
}
