/** Guests whose agent makes them hold still for a snapshot, and that go on whatever becomes of the daemon. */
import { join } from 'node:path'
import { CreateSnapshotsCommand, CreateVolumeCommand, waitUntilSnapshotCompleted } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { GuestAgent } from '../../src/machines/qemu/guest-agent.ts'
import { useFleet, waiting } from './support/fleet.ts'

const on = useFleet({ env: { KILN_LOG: 'info' } })
// Logins work before the agent does.
beforeAll(() => on.fleet.ssh(on.instance, 'timeout 60 sh -c "until pidof qemu-ga; do sleep 0.2; done"').then(() => {}))

test('what a guest wrote and did not flush is whole in the snapshot', async () => {
  const written = await on.fleet.ssh(on.instance, 'head -c 4194304 /dev/urandom >file && sha256sum <file')
  const { Snapshots: made } = await on.fleet.ec2.send(
    new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: on.instance } }),
  )
  const [snapshot] = made!.map((one) => one.SnapshotId!)
  // The guest has gone on at once.
  await on.fleet.ssh(on.instance, 'echo later >file && sync')
  expect(on.kiln.log).toContain('"quiesced":true')
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })

  const { AvailabilityZone: zone } = (await on.fleet.describe(on.instance)).Placement!
  const { VolumeId: id } = await on.fleet.ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: snapshot! }),
  )
  const disk = await on.fleet.attach(id!, on.instance, '/dev/sdf')
  const seen = `until [ -b ${disk}2 ]; do sleep 0.1; done`
  await on.fleet.ssh(on.instance, `${seen}; sudo mkdir -p /mnt && sudo mount ${disk}2 /mnt`)
  expect(await on.fleet.ssh(on.instance, 'sha256sum </mnt/home/ec2-user/file; sudo umount /mnt')).toBe(written)
})

test('a guest that a killed daemon left holding still is let go on by the next one', async () => {
  await on.kiln.kill9()
  const agent = await GuestAgent.connect(join(homeAt(on.kiln.home).runDir, `${on.instance}.agent`), systemClock)
  expect(await agent.freeze()).toBeGreaterThan(0)
  expect(await agent.isFrozen()).toBe(true)
  agent.close()
  await on.kiln.restart()
  on.fleet.reconnect()
  expect(await on.fleet.ssh(on.instance, 'echo on >after && sync && cat after')).toBe('on')
})
