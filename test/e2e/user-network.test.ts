/** Hosts that allow no network namespaces: logins and metadata work all the same. */
import { StartInstancesCommand, StopInstancesCommand, waitUntilInstanceStopped } from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

let kiln: RunningKiln
let fleet: Fleet
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu', args: ['--network', 'user'] })
  fleet = await prepareFleet(kiln)
})
afterAll(() => kiln.cleanup())

test("with QEMU's own networking a guest gets its key and user data, and is reached by SSH over a stop and start", async () => {
  const userData = Buffer.from('#!/bin/sh\necho ran > /etc/user-data-ran\n').toString('base64')
  const [id] = (await fleet.launch({ more: { UserData: userData } })) as [string]
  expect(await fleet.ssh(id, 'while [ ! -e /etc/user-data-ran ]; do sleep 1; done; cat /etc/user-data-ran')).toBe('ran')
  await fleet.ssh(id, 'echo kept > note.txt && sync')
  await fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [id] }))
  await waitUntilInstanceStopped(
    { client: fleet.ec2, minDelay: 1, maxDelay: 1, maxWaitTime: 120 },
    { InstanceIds: [id] },
  )
  await fleet.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }))
  await expect.poll(async () => (await fleet.describe(id)).State!.Name, { timeout: 60_000 }).toBe('running')
  expect(await fleet.ssh(id, 'cat note.txt')).toBe('kept')
  await fleet.terminate([id])
})
