/** A host of 4096 MiB has room for two guests of half of that: who asks for more is told, as EC2 tells it. */
import {
  DescribeSpotInstanceRequestsCommand,
  RequestSpotInstancesCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true, boundsMemory: true })
/** Of 8 GiB, and half of the host's memory at most. */
const large = { InstanceType: 'm5.large' } as const
const code = 'InsufficientInstanceCapacity'
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

test('as many are launched as the host has memory for, and the next when others have made room', async () => {
  const { ec2 } = caller
  await expectRefusal(caller.launch({ ...large, MinCount: 3, MaxCount: 3 }), code, '2048 MiB')
  const [first, second, ...more] = await caller.launch({ ...large, MinCount: 1, MaxCount: 5 })
  expect(more).toEqual([])
  await expectRefusal(caller.launch({ InstanceType: 't3.nano' }), code, '4096 of 4096 MiB')
  // Other accounts have the same host.
  const stranger = await callerOf(served(), '000000000002')
  await expectRefusal(stranger.launch({ InstanceType: 't3.nano' }), code, 't3.nano')

  const ids = { InstanceIds: [first.InstanceId!] }
  await ec2.send(new StopInstancesCommand(ids))
  await caller.reaches(first.InstanceId!, 'stopped')
  const [small] = await stranger.launch({ InstanceType: 't3.micro' })
  await expectRefusal(ec2.send(new StartInstancesCommand(ids)), code, 'm5.large')
  await stranger.ec2.send(new TerminateInstancesCommand({ InstanceIds: [small.InstanceId!] }))
  await stranger.reaches(small.InstanceId!, 'terminated')
  await ec2.send(new StartInstancesCommand(ids))
  await caller.reaches(first.InstanceId!, 'running')
  expect((await caller.describe(second!.InstanceId!)).State!.Name).toBe('running')
})

test('a spot request waits for room, and says so', async () => {
  const { ec2 } = caller
  const LaunchSpecification = { ImageId: caller.seedImage, InstanceType: 't3.nano' } as const
  const { SpotInstanceRequests: made } = await ec2.send(new RequestSpotInstancesCommand({ LaunchSpecification }))
  const SpotInstanceRequestIds = [made![0]!.SpotInstanceRequestId!]
  const status = async () => {
    const { SpotInstanceRequests: found } = await ec2.send(
      new DescribeSpotInstanceRequestsCommand({ SpotInstanceRequestIds }),
    )
    return found![0]!.Status!.Code === 'pending-evaluation' ? undefined : found![0]!
  }
  const request = await waitFor(systemClock, status, { everyMs: 20, timeoutMs: 20_000 })
  expect(request).toMatchObject({ State: 'open', Status: { Code: 'capacity-not-available' } })
})
