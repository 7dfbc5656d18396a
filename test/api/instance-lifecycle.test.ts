/** What becomes of instances, told by the official client: launches, states, reasons, and machines that misbehave. */
import {
  DeregisterImageCommand,
  DescribeInstanceAttributeCommand,
  DescribeInstanceStatusCommand,
  DescribeInstancesCommand,
  DescribeNetworkInterfacesCommand,
  DescribeTagsCommand,
  DescribeVolumesCommand,
  GetConsoleOutputCommand,
  ModifyInstanceAttributeCommand,
  RebootInstancesCommand,
  RunInstancesCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test, vi } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true, timing: { shutdownGraceMs: 600 } })
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

const idOf = (instance: { InstanceId?: string }) => instance.InstanceId!
const stop = (id: string, more = {}) => caller.ec2.send(new StopInstancesCommand({ InstanceIds: [id], ...more }))
const start = (id: string) => caller.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }))
const terminate = (id: string) => caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
const volumesOf = async (instanceId: string) =>
  (
    await caller.ec2.send(
      new DescribeVolumesCommand({ Filters: [{ Name: 'attachment.instance-id', Values: [instanceId] }] }),
    )
  ).Volumes!
const interfacesOf = async (instanceId: string) =>
  (
    await caller.ec2.send(
      new DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'attachment.instance-id', Values: [instanceId] }] }),
    )
  ).NetworkInterfaces!

test('one launch is one reservation, its instances numbered, each with its own address and volume', async () => {
  const made = await caller.ec2.send(
    new RunInstancesCommand({ ImageId: caller.seedImage, InstanceType: 't3.nano', MinCount: 2, MaxCount: 3 }),
  )
  expect(made.Instances!.map((instance) => instance.AmiLaunchIndex)).toEqual([0, 1, 2])
  expect(made.Instances!.map((instance) => instance.State)).toEqual(Array(3).fill({ Code: 0, Name: 'pending' }))
  const running = await Promise.all(made.Instances!.map((instance) => caller.reaches(idOf(instance), 'running')))
  const described = await caller.ec2.send(
    new DescribeInstancesCommand({ Filters: [{ Name: 'reservation-id', Values: [made.ReservationId!] }] }),
  )
  expect(described.Reservations!.map((one) => one.Instances!.map(idOf))).toEqual([made.Instances!.map(idOf)])
  const distinct = (read: (instance: (typeof running)[number]) => string | undefined) => new Set(running.map(read)).size
  expect([
    distinct((one) => one.PrivateIpAddress),
    distinct((one) => one.PublicIpAddress),
    distinct((one) => one.NetworkInterfaces![0]!.MacAddress),
    distinct((one) => one.BlockDeviceMappings![0]!.Ebs!.VolumeId),
  ]).toEqual([3, 3, 3, 3])
  const status = await caller.ec2.send(new DescribeInstanceStatusCommand({ InstanceIds: running.map(idOf) }))
  expect(status.InstanceStatuses!.map((one) => one.InstanceStatus!.Status)).toEqual(['ok', 'ok', 'ok'])
})

test('the tags of a launch reach the instance, its volume and its interface, and go with the latter two', async () => {
  const specification = (ResourceType: 'instance' | 'volume' | 'network-interface') => ({
    ResourceType,
    Tags: [{ Key: 'of', Value: ResourceType }],
  })
  const [instance] = await caller.launch({
    TagSpecifications: [specification('instance'), specification('volume'), specification('network-interface')],
  })
  const id = idOf(instance)
  const [volume] = await volumesOf(id)
  const [nic] = await interfacesOf(id)
  expect([instance.Tags, volume!.Tags, nic!.TagSet]).toEqual(
    ['instance', 'volume', 'network-interface'].map((Value) => [{ Key: 'of', Value }]),
  )
  await terminate(id)
  await caller.reaches(id, 'terminated')
  const resources = [id, volume!.VolumeId!, nic!.NetworkInterfaceId!]
  const left = await caller.ec2.send(new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values: resources }] }))
  expect(left.Tags!.map((tag) => tag.ResourceId)).toEqual([id])
})

test('a client token gives the same instances again, at once or later, and refuses other parameters', async () => {
  const request = { ImageId: caller.seedImage, InstanceType: 't3.nano', MinCount: 1, MaxCount: 2 } as const
  const run = (more: object) => caller.ec2.send(new RunInstancesCommand({ ...request, ClientToken: 'one', ...more }))
  const answers = await Promise.all([run({}), run({}), run({})])
  const ids = answers[0]!.Instances!.map(idOf)
  expect(ids).toHaveLength(2)
  for (const answer of answers) expect(answer.Instances!.map(idOf)).toEqual(ids)
  await expectRefusal(run({ MaxCount: 3 }), 'IdempotentParameterMismatch', "'one'")
  const found = await caller.ec2.send(
    new DescribeInstancesCommand({ Filters: [{ Name: 'client-token', Values: ['one'] }] }),
  )
  expect(found.Reservations!.flatMap((one) => one.Instances!.map(idOf)).sort()).toEqual([...ids].sort())
})

test('a token answers as before even when its image is gone', async () => {
  const [source] = await caller.launch()
  const image = await caller.imageOf(idOf(source), 'gone by then')
  const request = {
    ImageId: image.ImageId,
    InstanceType: 't3.nano',
    MinCount: 1,
    MaxCount: 1,
    ClientToken: 'two',
  } as const
  const first = await caller.ec2.send(new RunInstancesCommand(request))
  await caller.ec2.send(new DeregisterImageCommand({ ImageId: image.ImageId }))
  const again = await caller.ec2.send(new RunInstancesCommand(request))
  expect(again.Instances!.map(idOf)).toEqual(first.Instances!.map(idOf))
  await expectRefusal(
    caller.ec2.send(new RunInstancesCommand({ ...request, ClientToken: 'three' })),
    'InvalidAMIID.Unavailable',
    image.ImageId!,
  )
})

test('stopped and started: the states, the reasons, and a new public address', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  const stopping = await stop(id)
  expect(stopping.StoppingInstances).toEqual([
    { InstanceId: id, PreviousState: { Code: 16, Name: 'running' }, CurrentState: { Code: 64, Name: 'stopping' } },
  ])
  const stopped = await caller.reaches(id, 'stopped')
  expect(stopped.StateReason).toEqual({
    Code: 'Client.UserInitiatedShutdown',
    Message: 'Client.UserInitiatedShutdown: User initiated shutdown',
  })
  expect(stopped.StateTransitionReason).toMatch(/^User initiated \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\)$/)
  expect(stopped.PublicIpAddress).toBeUndefined()
  expect(stopped.PrivateIpAddress).toBe(instance.PrivateIpAddress)
  await expectRefusal(stop(id), 'IncorrectInstanceState', id)
  await expectRefusal(caller.ec2.send(new RebootInstancesCommand({ InstanceIds: [id] })), 'IncorrectInstanceState', id)
  const quiet = await caller.ec2.send(new DescribeInstanceStatusCommand({ InstanceIds: [id] }))
  expect(quiet.InstanceStatuses).toEqual([])

  const starting = await start(id)
  expect(starting.StartingInstances![0]).toMatchObject({ CurrentState: { Code: 0, Name: 'pending' } })
  const started = await caller.reaches(id, 'running')
  expect(started).toMatchObject({ PrivateIpAddress: instance.PrivateIpAddress, StateTransitionReason: '' })
  expect(started.StateReason).toBeUndefined()
  expect(started.PublicIpAddress).toMatch(/^127\./)
  expect(started.LaunchTime!.getTime()).toBeGreaterThan(instance.LaunchTime!.getTime())
  expect((await start(id)).StartingInstances![0]).toMatchObject({ PreviousState: { Name: 'running' } })
})

test('a reboot is a new boot of the same instance', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  await caller.ec2.send(new RebootInstancesCommand({ InstanceIds: [id] }))
  await caller.quiet()
  expect((await caller.describe(id)).State!.Name).toBe('running')
  const { Output: output } = await caller.ec2.send(new GetConsoleOutputCommand({ InstanceId: id }))
  const lines = Buffer.from(output!, 'base64')
    .toString()
    .match(/simulated guest: [\w ]+/g)
  expect(lines).toEqual(['simulated guest: ready', 'simulated guest: switching off', 'simulated guest: ready'])
})

test('all instances of a request move, or none', async () => {
  const [running, other] = await caller.launch({ MaxCount: 2 })
  await stop(idOf(other!))
  await caller.reaches(idOf(other!), 'stopped')
  const both = { InstanceIds: [idOf(running), idOf(other!)] }
  await expectRefusal(caller.ec2.send(new StopInstancesCommand(both)), 'IncorrectInstanceState', idOf(other!))
  expect((await caller.describe(idOf(running))).State!.Name).toBe('running')
})

test('protection against stopping and terminating holds until it is taken away', async () => {
  const [instance] = await caller.launch({ DisableApiStop: true, DisableApiTermination: true })
  const id = idOf(instance)
  await expectRefusal(stop(id), 'OperationNotPermitted', 'disableApiStop')
  await expectRefusal(terminate(id), 'OperationNotPermitted', 'disableApiTermination')
  const modify = (input: object) => caller.ec2.send(new ModifyInstanceAttributeCommand({ InstanceId: id, ...input }))
  await modify({ DisableApiStop: { Value: false } })
  await modify({ Attribute: 'disableApiTermination', Value: 'false' })
  const read = await caller.ec2.send(
    new DescribeInstanceAttributeCommand({ InstanceId: id, Attribute: 'disableApiTermination' }),
  )
  expect(read.DisableApiTermination).toEqual({ Value: false })
  await stop(id)
  await caller.reaches(id, 'stopped')
  await terminate(id)
  await caller.reaches(id, 'terminated')
})

test('termination deletes the volumes that go with the instance and keeps the others', async () => {
  const [instance] = await caller.launch({
    BlockDeviceMappings: [
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, DeleteOnTermination: false } },
      { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 1 } },
      { DeviceName: '/dev/sdh', Ebs: { VolumeSize: 1 } },
    ],
  })
  const id = idOf(instance)
  await caller.ec2.send(
    new ModifyInstanceAttributeCommand({
      InstanceId: id,
      BlockDeviceMappings: [{ DeviceName: '/dev/sdg', Ebs: { DeleteOnTermination: false } }],
    }),
  )
  const volumes = new Map((await volumesOf(id)).map((volume) => [volume.Attachments![0]!.Device!, volume.VolumeId!]))
  expect([...volumes.keys()].sort()).toEqual(['/dev/sdf', '/dev/sdg', '/dev/sdh', '/dev/xvda'])
  const terminating = await terminate(id)
  expect(terminating.TerminatingInstances![0]!.CurrentState).toEqual({ Code: 32, Name: 'shutting-down' })
  const terminated = await caller.reaches(id, 'terminated')
  expect(terminated.StateTransitionReason).toMatch(/^User initiated \(/)
  expect([terminated.PrivateIpAddress, terminated.PublicIpAddress, terminated.BlockDeviceMappings]).toEqual([
    undefined,
    undefined,
    [],
  ])
  expect(await interfacesOf(id)).toEqual([])
  const kept = [volumes.get('/dev/sdf')!, volumes.get('/dev/sdg')!]
  const left = await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: kept }))
  expect(left.Volumes!.map((volume) => [volume.State, volume.Attachments])).toEqual([
    ['available', []],
    ['available', []],
  ])
  for (const device of ['/dev/xvda', '/dev/sdh']) {
    const gone = volumes.get(device)!
    await expectRefusal(
      caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [gone] })),
      'InvalidVolume.NotFound',
      gone,
    )
  }
  expect((await terminate(id)).TerminatingInstances![0]!.CurrentState!.Name).toBe('terminated')
  await expectRefusal(start(id), 'IncorrectInstanceState', id)
})

test('a guest that switches itself off stops, or terminates where that was asked for', async () => {
  const [stops] = await caller.launch()
  const [ends] = await caller.launch({ InstanceInitiatedShutdownBehavior: 'terminate' })
  for (const instance of [stops, ends!]) await served().machines.faults.switchOff(idOf(instance))
  const stopped = await caller.reaches(idOf(stops), 'stopped')
  await caller.reaches(idOf(ends!), 'terminated')
  expect(stopped.StateReason).toEqual({
    Code: 'Client.InstanceInitiatedShutdown',
    Message: 'Client.InstanceInitiatedShutdown: Instance initiated shutdown',
  })
})

test('an instance whose machine vanishes is stopped by the server, and can be started again', async () => {
  const [instance] = await caller.launch({ InstanceInitiatedShutdownBehavior: 'terminate' })
  const id = idOf(instance)
  await served().machines.faults.vanish(id)
  const stopped = await caller.reaches(id, 'stopped')
  expect(stopped.StateReason!.Code).toBe('Server.InternalError')
  expect(stopped.StateTransitionReason).toBe('Server.InternalError')
  await start(id)
  await caller.reaches(id, 'running')
})

test('a launch whose machine never starts ends terminated, with the reason and with nothing left', async () => {
  const { state } = served().deps
  const broken = vi.spyOn(served().machines, 'start').mockRejectedValue(new Error('no memory left'))
  const made = await caller.ec2.send(
    new RunInstancesCommand({ ImageId: caller.seedImage, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1 }),
  )
  const id = idOf(made.Instances![0]!)
  const volumeIds = (await state.volumes.attachmentsOfInstances([id])).map((row) => row.volumeId)
  const terminated = await caller.reaches(id, 'terminated').finally(() => broken.mockRestore())
  expect(terminated.StateReason!.Code).toBe('Server.InternalError')
  expect(terminated.StateReason!.Message).toMatch(/^Server\.InternalError: .*no memory left/)
  expect(volumeIds).toHaveLength(1)
  expect(await state.volumes.many(volumeIds)).toEqual([])
  expect(await interfacesOf(id)).toEqual([])
})

test('a start whose machine does not come up leaves the instance stopped, without a public address', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  await stop(id)
  await caller.reaches(id, 'stopped')
  const broken = vi.spyOn(served().machines, 'start').mockRejectedValue(new Error('no memory left'))
  await start(id)
  const stopped = await caller.reaches(id, 'stopped').finally(() => broken.mockRestore())
  expect(stopped.StateReason!.Code).toBe('Server.InternalError')
  expect(stopped.StateReason!.Message).toContain('no memory left')
  expect(stopped.PublicIpAddress).toBeUndefined()
  // A fault that passes is not the end: the next attempt of the same start succeeds.
  served().machines.faults.failNextStart('once')
  await start(id)
  await caller.reaches(id, 'running')
})

test('the plug is pulled from a guest that ignores its power button', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  served().machines.faults.ignorePowerButton(id)
  const before = Date.now()
  await stop(id)
  await caller.reaches(id, 'stopped')
  expect(Date.now() - before).toBeGreaterThanOrEqual(600)
})

/** Gives guests a minute to switch themselves off. */
function slowly() {
  const { timing } = served().deps
  const usual = timing.shutdownGraceMs
  timing.shutdownGraceMs = 60_000
  return {
    restore: () => {
      timing.shutdownGraceMs = usual
    },
  }
}

test('forcing an instance that takes its time to stop pulls the plug at once', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  const grace = slowly()
  served().machines.faults.ignorePowerButton(id)
  await stop(id)
  const forced = await stop(id, { Force: true })
  expect(forced.StoppingInstances![0]!.PreviousState!.Name).toBe('stopping')
  await caller.reaches(id, 'stopped').finally(() => grace.restore())
})

test('an instance that takes its time to stop can be terminated without waiting for it', async () => {
  const [instance] = await caller.launch()
  const id = idOf(instance)
  const grace = slowly()
  served().machines.faults.ignorePowerButton(id)
  await stop(id)
  await terminate(id)
  await caller.reaches(id, 'terminated').finally(() => grace.restore())
})
