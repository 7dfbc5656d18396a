/** Guests whose agent makes them hold still for a snapshot, and that go on whatever becomes of the daemon. */
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateSnapshotsCommand,
  CreateVolumeCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { GuestAgent } from '../../src/machines/qemu/guest-agent.ts'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 120 }
let kiln: RunningKiln
let fleet: Fleet
let instance: string
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu', env: { KILN_LOG: 'info' } })
  fleet = await prepareFleet(kiln)
  ;[instance] = (await fleet.launch({})) as [string]
  // Logins work before the agent does.
  await fleet.ssh(instance, 'timeout 60 sh -c "until pidof qemu-ga; do sleep 0.2; done"')
})
afterAll(() => kiln.cleanup())

test('what a guest wrote and did not flush is whole in the snapshot', async () => {
  const written = await fleet.ssh(instance, 'head -c 4194304 /dev/urandom >file && sha256sum <file')
  const { Snapshots: made } = await fleet.ec2.send(
    new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: instance } }),
  )
  const [snapshot] = made!.map((one) => one.SnapshotId!)
  // The guest has gone on at once.
  await fleet.ssh(instance, 'echo later >file && sync')
  expect(kiln.log).toContain('"quiesced":true')
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })

  const { AvailabilityZone: zone } = (await fleet.describe(instance)).Placement!
  const { VolumeId: id } = await fleet.ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: snapshot! }),
  )
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [id!] })
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: id, InstanceId: instance, Device: '/dev/sdf' }))
  const mount = 'sudo mkdir -p /mnt && sudo mount /dev/vdb2 /mnt'
  await expect.poll(() => fleet.ssh(instance, `${mount} 2>&1`).catch(String), { timeout: 30_000 }).toBe('')
  expect(await fleet.ssh(instance, 'sha256sum </mnt/home/ec2-user/file; sudo umount /mnt')).toBe(written)
})

test('a guest that a killed daemon left holding still is let go on by the next one', async () => {
  await kiln.kill9()
  const agent = await GuestAgent.connect(join(homeAt(kiln.home).runDir, `${instance}.agent`), systemClock)
  expect(await agent.freeze()).toBeGreaterThan(0)
  expect(await agent.isFrozen()).toBe(true)
  agent.close()
  await kiln.restart()
  fleet.reconnect()
  expect(await fleet.ssh(instance, 'echo on >after && sync && cat after')).toBe('on')
})
