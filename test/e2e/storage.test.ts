/** What moves, and what depends on what: launches copy nothing, copies stand on their own. */
import { readFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CreateImageCommand,
  DescribeVolumesCommand,
  waitUntilImageAvailable,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { type Fleet, prepareFleet, waiting } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const mib = 1024 ** 2
const dataMib = 160
const checksum = 'sudo sha256sum /data | cut -c1-64'

let kiln: RunningKiln
let home: Fleet
let away: Fleet
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu' })
  home = await prepareFleet(kiln, 'us-east-1')
  away = await prepareFleet(kiln, 'eu-west-1')
})
afterAll(() => kiln.cleanup())

interface Shown {
  fetchedBytes: number
  localBytes: number
  isLazy: boolean
}

async function rootVolume(fleet: Fleet, instanceId: string): Promise<Shown> {
  const filters = [{ Name: 'attachment.instance-id', Values: [instanceId] }]
  const { Volumes: volumes } = await fleet.ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  return JSON.parse(await kiln.command('volume', 'show', volumes![0]!.VolumeId!, '--json')) as Shown
}

test('a launch moves only what the guest reads; a copied image needs nothing of the region that it came from', async () => {
  const [maker] = (await home.launch({})) as [string]
  await home.ssh(maker, `sudo dd if=/dev/urandom of=/data bs=1M count=${dataMib} 2>/dev/null; sync`)
  const written = await home.ssh(maker, checksum)
  const { ImageId: imageId } = await home.ec2.send(new CreateImageCommand({ InstanceId: maker, Name: 'data' }))
  await waitUntilImageAvailable({ client: home.ec2, ...waiting }, { ImageIds: [imageId!] })

  const [reader] = (await home.launch({ imageId: imageId! })) as [string]
  await home.ssh(reader, 'true')
  const atLogin = await rootVolume(home, reader)
  expect(atLogin.isLazy).toBe(true)
  expect(atLogin.fetchedBytes).toBeGreaterThan(5 * mib)
  expect(atLogin.fetchedBytes).toBeLessThan(dataMib * mib * 0.5)
  expect(await home.ssh(reader, checksum)).toBe(written)
  // The counters are written once a second.
  await expect
    .poll(async () => (await rootVolume(home, reader)).fetchedBytes, { timeout: 10_000 })
    .toBeGreaterThan(dataMib * mib)

  const { ImageId: copyId } = await away.ec2.send(
    new CopyImageCommand({ SourceRegion: 'us-east-1', SourceImageId: imageId!, Name: 'data' }),
  )
  await waitUntilImageAvailable({ client: away.ec2, ...waiting }, { ImageIds: [copyId!] })
  await home.terminate([maker, reader])
  const store = join(homeAt(kiln.home).regionsDir, 'us-east-1')
  await rename(store, `${store}.away`)
  try {
    const [abroad] = (await away.launch({ imageId: copyId! })) as [string]
    expect(await away.ssh(abroad, checksum)).toBe(written)
    await away.terminate([abroad])
  } finally {
    await rename(`${store}.away`, store)
  }
})

test('guests outlive the block server', async () => {
  const [instance] = (await home.launch({})) as [string]
  const page = JSON.parse(readFileSync(join(homeAt(kiln.home).runDir, 'blocks.sock.pid'), 'utf8')) as { pid: number }
  process.kill(page.pid, 'SIGKILL')
  // Nothing of these is in the guest's memory yet.
  expect(await home.ssh(instance, 'sudo cat /usr/lib/x86_64-linux-gnu/* 2>/dev/null | wc -c')).not.toBe('0')
  const next = JSON.parse(readFileSync(join(homeAt(kiln.home).runDir, 'blocks.sock.pid'), 'utf8')) as { pid: number }
  expect(next.pid).not.toBe(page.pid)
  await home.terminate([instance])
})
