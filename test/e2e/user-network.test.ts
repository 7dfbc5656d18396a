/** Hosts that allow no network namespaces: logins, metadata and the API work all the same. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { StartInstancesCommand, StopInstancesCommand, waitUntilInstanceStopped } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { useFleet } from './support/fleet.ts'

const on = useFleet({ hasInstance: false, args: ['--network', 'user'] })

const userData = Buffer.from('#!/bin/sh\necho ran > /etc/user-data-ran\n').toString('base64')
let id: string
beforeAll(async () => {
  ;[id] = (await on.fleet.launch({ more: { UserData: userData } })) as [string]
})

test("with QEMU's own networking a guest gets its key and user data, and is reached by SSH over a stop and start", async () => {
  expect(await on.fleet.ssh(id, 'while [ ! -e /etc/user-data-ran ]; do sleep 1; done; cat /etc/user-data-ran')).toBe(
    'ran',
  )
  await on.fleet.ssh(id, 'echo kept > note.txt && sync')
  await on.fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [id] }))
  await waitUntilInstanceStopped(
    { client: on.fleet.ec2, minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 120 },
    { InstanceIds: [id] },
  )
  await on.fleet.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }))
  await expect.poll(async () => (await on.fleet.describe(id)).State!.Name, { timeout: 60_000 }).toBe('running')
  expect(await on.fleet.ssh(id, 'cat note.txt')).toBe('kept')
})

test('such a guest reaches no server of the host by any address of its network, nor the port of the Kiln that serves it', async () => {
  const server = createServer((socket) => socket.end('reached')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const ports = [(server.address() as AddressInfo).port, new URL(on.kiln.url).port]
  try {
    const ask = (address: string, port: string | number) =>
      `(printf 'GET /_kiln/health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n'; sleep 1) | nc -w 2 ${address} ${port} || true;`
    const metadata = 'wget -q -O - http://169.254.169.254/latest/meta-data/instance-id'
    const asked = ['172.31.0.1', '172.31.0.2', '169.254.169.253', '10.0.2.2']
      .flatMap((address) => ports.map((port) => ask(address, port)))
      .join(' ')
    expect(await on.fleet.ssh(id, `(${asked}) 2>/dev/null; ${metadata}`)).toBe(id)
  } finally {
    server.close()
  }
})
