/** What moves, and what depends on what: launches copy nothing, copies stand on their own. */
import { readFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CreateImageCommand,
  CreateSnapshotsCommand,
  DescribeVolumesCommand,
  waitUntilImageAvailable,
  waitUntilSnapshotCompleted,
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

test('snapshots of an instance’s volumes are of one instant, while its guest writes', async () => {
  const devices = (snapshots: readonly (string | undefined)[]) =>
    snapshots.map((SnapshotId, index) => ({
      DeviceName: `/dev/sd${'fghijk'[index]}`,
      Ebs: SnapshotId === undefined ? { VolumeSize: 1 } : { SnapshotId },
    }))
  const [writer] = (await home.launch({ more: { BlockDeviceMappings: devices([undefined, undefined]) } })) as [string]
  // One number after the other, each on stable storage of the first disk before it goes to the second.
  const counter = [
    'i=0',
    'while :; do i=$((i+1))',
    'for d in b c; do printf "%-511d\\n" $i | dd of=/dev/vd$d bs=512 conv=notrunc,fsync; done',
    'done',
  ].join('; ')
  await home.ssh(writer, `echo '${counter}' > counter; sudo setsid sh counter </dev/null >/dev/null 2>&1 & sleep 2`)
  const snapshots: string[] = []
  for (let taken = 0; taken < 3; taken++) {
    const { Snapshots: made } = await home.ec2.send(
      new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: writer, ExcludeBootVolume: true } }),
    )
    snapshots.push(...made!.map((one) => one.SnapshotId!))
    await home.ssh(writer, 'sleep 1')
  }
  await waitUntilSnapshotCompleted({ client: home.ec2, ...waiting }, { SnapshotIds: snapshots })
  const [reader] = (await home.launch({ more: { BlockDeviceMappings: devices(snapshots) } })) as [string]
  const read = await home.ssh(reader, 'for d in b c d e f g; do sudo head -c 8 /dev/vd$d | tr -d " "; echo; done')
  const numbers = read.split('\n').map(Number)
  expect(numbers).toHaveLength(6)
  for (const pair of [0, 2, 4]) expect([0, 1]).toContain(numbers[pair]! - numbers[pair + 1]!)
  expect(numbers[1]).toBeGreaterThan(0)
  expect(numbers[3]).toBeGreaterThan(numbers[1]!)
  expect(numbers[5]).toBeGreaterThan(numbers[3]!)
  await home.terminate([writer, reader])
})
