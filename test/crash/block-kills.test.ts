/**
 * Images of a gibibyte are captured, copied and hydrated while the daemon, the block server and the storage daemons are
 * killed at random. Whatever ends as completed holds, block for block, what was written; the rest says why not; and
 * nothing is left behind.
 *
 * `KILN_KILLS=50` kills so often, and fills the disks; unless set, it is five times and a fifth of the data. `KILN_SEED`
 * repeats a run as far as chance was ours to decide.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import {
  CopyImageCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  RunInstancesCommand,
  type Snapshot,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nbdImage } from '../../src/blocks/testing/qemu-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { run } from '../../src/lib/programs.ts'
import { randomInt, seededRandom, systemRandom } from '../../src/lib/random.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { type BlockNames, blockNamesOf, filesOfStore, snapshotBlocks } from './block-store-contents.ts'
import { Killer, storageDaemonsOf, victims } from './killer.ts'
import { patchDisk, SourceDisk } from './source-disk.ts'

const kills = Number(process.env.KILN_KILLS ?? 5)
const data = process.env.KILN_KILLS ? { noiseMib: 512, textMib: 384 } : { noiseMib: 112, textMib: 80 }
const seed = Number(process.env.KILN_SEED ?? randomInt(systemRandom, 1_000_000))
const [home, away] = ['us-east-1', 'eu-west-1']
const blockCount = 2048
const settleWithinMs = 180_000

let kiln: RunningKiln
let killer: Killer
let scratch: string
let source: SourceDisk
/** Names what is printed when something does not hold. */
const about = (what: string) => `seed ${seed}: ${what}`
const random = seededRandom(seed)

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'kiln-kills-'))
  kiln = await startKiln()
  killer = new Killer(kiln, seededRandom(seed + 1))
  source = await SourceDisk.make(join(scratch, 'source.raw'), data)
})
afterAll(async () => {
  killer?.close()
  await kiln?.cleanup()
  await rm(scratch, { recursive: true, force: true })
})

const ends: Record<string, number> = {}
const reasons: string[] = []
const count = (what: string, end: string) => {
  ends[`${what} ${end}`] = (ends[`${what} ${end}`] ?? 0) + 1
}

/** Polls until it gives something; fails the test when that takes too long. */
async function settled<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const found = await waitFor(systemClock, () => killer.ask(look), { everyMs: 100, timeoutMs: settleWithinMs })
  if (found === undefined) throw new Error(about(`${what} did not come to an end`))
  return found
}

const pathOfStore = (region: string) => join(homeAt(kiln.home).regionsDir, region, 'store')

/** An instance whose second disk is the source's content; its id and that volume's. */
async function launchWithSource(cycle: number, imageId: string): Promise<string> {
  await source.stamp(cycle)
  const devices = [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, DeleteOnTermination: true } }]
  const request = { ImageId: imageId, MinCount: 1, MaxCount: 1, BlockDeviceMappings: devices }
  const { Instances: made } = await killer.ask(() =>
    killer
      .client(home)
      .send(new RunInstancesCommand({ ...request, InstanceType: 't3.nano', ClientToken: `${seed}-launch-${cycle}` })),
  )
  const id = made![0]!.InstanceId!
  const volume = await settled(`instance ${id}`, async () => {
    const found = await killer.client(home).send(new DescribeInstancesCommand({ InstanceIds: [id] }))
    const instance = found.Reservations![0]!.Instances![0]!
    if (instance.State!.Name !== 'running') return undefined
    return instance.BlockDeviceMappings!.find((mapping) => mapping.DeviceName === '/dev/sdf')?.Ebs?.VolumeId
  })
  await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', source.path, await topLayer(volume)])
  return id
}

async function topLayer(volumeId: string): Promise<string> {
  const folder = join(homeAt(kiln.home).volumesDir, volumeId)
  const layers = (await readdir(folder)).filter((name) => name.endsWith('.qcow2'))
  return join(folder, layers.sort().at(-1)!)
}

/** The image once it is no longer pending; one that failed must say why. */
async function imageEnd(what: string, region: string, imageId: string): Promise<string | undefined> {
  const image = await settled(`${what} ${imageId}`, async () => {
    const { Images: found } = await killer.client(region).send(new DescribeImagesCommand({ ImageIds: [imageId] }))
    return found![0]!.State === 'pending' ? undefined : found![0]!
  })
  count(what, image.State!)
  if (image.State === 'available')
    return image.BlockDeviceMappings!.find((device) => device.DeviceName === '/dev/sdf')!.Ebs!.SnapshotId!
  expect(image.State, about(imageId)).toBe('failed')
  expect(image.StateReason!.Message, about(imageId)).toMatch(/\w+/)
  reasons.push(image.StateReason!.Message!)
  return undefined
}

async function createImage(instanceId: string, name: string): Promise<string> {
  return await killer.ask(async () => {
    const client = killer.client(home)
    const filters = [{ Name: 'name', Values: [name] }]
    const { Images: before } = await client.send(new DescribeImagesCommand({ Owners: ['self'], Filters: filters }))
    if (before!.length > 0) return before![0]!.ImageId!
    const made = await client.send(new CreateImageCommand({ InstanceId: instanceId, Name: name, NoReboot: true }))
    return made.ImageId!
  })
}

async function createSnapshot(volumeId: string): Promise<string> {
  return await killer.ask(async () => {
    const client = killer.client(away)
    const filters = [{ Name: 'volume-id', Values: [volumeId] }]
    const { Snapshots: before } = await client.send(
      new DescribeSnapshotsCommand({ OwnerIds: ['self'], Filters: filters }),
    )
    if (before!.length > 0) return before![0]!.SnapshotId!
    return (await client.send(new CreateSnapshotCommand({ VolumeId: volumeId }))).SnapshotId!
  })
}

async function snapshotEnd(region: string, id: string): Promise<boolean> {
  const snapshot = await settled(`snapshot ${id}`, async () => {
    const found = await killer.client(region).send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }))
    return found.Snapshots![0]!.State === 'pending' ? undefined : found.Snapshots![0]!
  })
  count('increment', snapshot.State!)
  if (snapshot.State === 'completed') return true
  expect(snapshot.StateMessage, about(id)).toMatch(/\w+/)
  reasons.push(snapshot.StateMessage!)
  return false
}

function query<Row>(sql: string, ...values: string[]): Row[] {
  const database = new DatabaseSync(homeAt(kiln.home).databasePath, { readOnly: true })
  try {
    database.exec('pragma busy_timeout = 10000')
    return database.prepare(sql).all(...values) as Row[]
  } finally {
    database.close()
  }
}

async function verifySnapshot(region: string, id: string, expected: BlockNames): Promise<void> {
  const [row] = query<{ root: string }>('select root_hash as root from snapshots where id = ?', id)
  const names = await snapshotBlocks(pathOfStore(region), row!.root, blockCount)
  expect(
    names.findIndex((name, index) => name !== expected[index]),
    about(`first wrong block of ${id}`),
  ).toBe(-1)
}

/** A volume of the snapshot, with a few small writes on top. */
async function volumeOf(snapshotId: string, cycle: number, patches: readonly number[]): Promise<string> {
  const request = { AvailabilityZone: `${away}a`, SnapshotId: snapshotId, ClientToken: `${seed}-volume-${cycle}` }
  const { VolumeId: id } = await killer.ask(() => killer.client(away).send(new CreateVolumeCommand(request)))
  await settled(`volume ${id}`, async () => {
    const { Volumes: found } = await killer.client(away).send(new DescribeVolumesCommand({ VolumeIds: [id!] }))
    return found![0]!.State === 'available' ? true : undefined
  })
  const writes = patches.flatMap((offset) => ['-c', `write -q -P ${0x5a} ${offset} 64k`])
  await run('qemu-io', [...writes, await topLayer(id!)])
  return id!
}

/** Asks until it is done: an attempt that is killed too often gives up, and the next one takes over what it has. */
async function hydrate(volumeId: string): Promise<void> {
  await settled(`hydration of ${volumeId}`, async () => {
    await kiln.command('volume', 'hydrate', volumeId).catch(() => {})
    const shown = await kiln.command('volume', 'show', volumeId, '--json').catch(() => undefined)
    return shown && (JSON.parse(shown) as { isLazy: boolean }).isLazy === false ? true : undefined
  })
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk)
  return hash.digest('hex')
}

/** One image's life; everything that it leaves is taken away again. */
async function cycle(number: number, kilnLinux: string): Promise<void> {
  const instanceId = await launchWithSource(number, kilnLinux)
  const expected = await blockNamesOf(source.path)
  const images: { region: string; id: string }[] = []
  const imageId = await createImage(instanceId, `cycle ${number}`)
  images.push({ region: home, id: imageId })
  const snapshotId = await imageEnd('image', home, imageId)
  let volumeId: string | undefined
  let increment: string | undefined
  if (snapshotId) {
    await verifySnapshot(home, snapshotId, expected)
    const copying = { SourceRegion: home, SourceImageId: imageId, Name: `copy ${number}` }
    const { ImageId: copyId } = await killer.ask(() =>
      killer.client(away).send(new CopyImageCommand({ ...copying, ClientToken: `${seed}-copy-${number}` })),
    )
    images.push({ region: away, id: copyId! })
    const copied = await imageEnd('copy', away, copyId!)
    if (copied) {
      await verifySnapshot(away, copied, expected)
      const patches = Array.from({ length: 60 }, () => randomInt(random, blockCount * 8) * 65536)
      volumeId = await volumeOf(copied, number, patches)
      const [{ root }] = query<{ root: string }>('select base_root as root from volumes where id = ?', volumeId) as [
        { root: string },
      ]
      const socketPath = join(homeAt(kiln.home).runDir, 'blocks.sock')
      const export_ = nbdImage({ socketPath, exportName: `${away}/${root}/${volumeId}` })
      const read = join(scratch, 'read.raw')
      // Somebody who reads all of it, as a guest would, whatever happens to who serves it.
      const reading = run('qemu-img', ['convert', '-O', 'raw', export_, read], { timeoutMs: settleWithinMs })
      const [, , made] = await Promise.all([reading, hydrate(volumeId), createSnapshot(volumeId)])
      increment = made
      const whole = await sha256Of(source.path)
      expect(await sha256Of(read), about('what was read meanwhile')).toBe(whole)
      expect(await sha256Of(join(homeAt(kiln.home).volumesDir, volumeId, 'base.raw')), about(volumeId)).toBe(whole)
      count('hydration', 'completed')
      if (await snapshotEnd(away, increment)) {
        const patched = join(scratch, 'patched.raw')
        await copyFile(source.path, patched)
        await patchDisk(patched, patches)
        await verifySnapshot(away, increment, await blockNamesOf(patched))
      }
    }
  }
  await removeAll({ instanceId, images, volumeId, increment })
}

async function removeAll(left: {
  instanceId: string
  images: readonly { region: string; id: string }[]
  volumeId: string | undefined
  increment: string | undefined
}): Promise<void> {
  const { instanceId, images, volumeId, increment } = left
  /** It may be gone since the last time that this was asked. */
  const removed = (request: () => Promise<unknown>) =>
    killer.ask(() =>
      request().catch((error: Error) => {
        if (!/NotFound|Unavailable$/.test(error.name)) throw error
      }),
    )
  await removed(() => killer.client(home).send(new TerminateInstancesCommand({ InstanceIds: [instanceId] })))
  for (const { region, id } of images) {
    await removed(() =>
      killer.client(region).send(new DeregisterImageCommand({ ImageId: id, DeleteAssociatedSnapshots: true })),
    )
  }
  if (volumeId) await removed(() => killer.client(away).send(new DeleteVolumeCommand({ VolumeId: volumeId })))
  if (increment) await removed(() => killer.client(away).send(new DeleteSnapshotCommand({ SnapshotId: increment })))
  await settled(`instance ${instanceId}`, async () => {
    const found = await killer.client(home).send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }))
    return found.Reservations![0]!.Instances![0]!.State!.Name === 'terminated' ? true : undefined
  })
  // Broken off as the rest is; the last one is not.
  await kiln.command('gc', '--grace', '0').catch(() => {})
}

const timeout = 300_000 + kills * 30_000

test(`${kills} kills while images are captured, copied and hydrated`, { timeout }, async () => {
  const { Images: images } = await killer
    .client(home)
    .send(new DescribeImagesCommand({ Owners: ['amazon'], Filters: [{ Name: 'name', Values: ['kiln-linux-*-ebs'] }] }))
  const kilnLinux = images![0]!.ImageId!
  const enough = new AbortController()
  let isOver = false
  const killing = killer.run(kills, enough.signal).finally(() => {
    isOver = true
  })
  killing.catch(() => {})
  try {
    // The last one that a kill fell into is lived to its end as well.
    for (let number = 0; !isOver; number++) await cycle(number, kilnLinux)
    await killing
  } finally {
    enough.abort()
    await killing.catch(() => {})
  }
  await checkAllIsDone()
  await checkNothingLeaks(kilnLinux)
  console.log([about(JSON.stringify({ ...killer.killed, ...ends })), ...reasons].join('\n'))
  expect(victims.reduce((sum, victim) => sum + killer.killed[victim], 0)).toBe(kills)
  // A run in which nothing was completed would prove nothing.
  expect(ends['image available'], about(JSON.stringify(ends))).toBeGreaterThan(0)
})

async function checkAllIsDone(): Promise<void> {
  interface Row {
    kind: string
    state: string
    error: string | null
  }
  await settled('some operation', async () =>
    query("select id from operations where state in ('pending', 'running')").length === 0 ? true : undefined,
  )
  for (const { kind, state, error } of query<Row>('select kind, state, error from operations')) {
    expect(['completed', 'failed'], about(kind)).toContain(state)
    if (state === 'failed') expect(error, about(kind)).toMatch(/\w+/)
  }
}

/** What is stored now must be what is needed now, to the file. */
async function checkNothingLeaks(kilnLinux: string): Promise<void> {
  // Something that stays, so that this is not about empty stores.
  const instanceId = await launchWithSource(1000, kilnLinux)
  const imageId = await createImage(instanceId, 'kept')
  const kept = await imageEnd('image', home, imageId)
  expect(kept, about('with nobody killed')).toBeDefined()
  await kiln.command('gc', '--grace', '0')
  expect(await kiln.command('check'), about('kiln check')).not.toMatch(/damaged|missing/)
  for (const region of [home, away]) {
    const roots = query<{ root: string }>(
      `select root_hash as root from snapshots where region = ? and root_hash is not null and state = 'completed'
       union select base_root as root from volumes where region = ? and base_root is not null`,
      ...[region, region],
    ).map(({ root }) => root)
    const { held, due } = await filesOfStore(pathOfStore(region), roots)
    expect(held, about(`the store of ${region}`)).toEqual(due)
  }
  const { Snapshots: left } = await killer.client(away).send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
  expect(left!.map((snapshot: Snapshot) => snapshot.SnapshotId)).toEqual([])
  const volumes = query<{ id: string }>('select id from volumes').map(({ id }) => id)
  expect((await readdir(homeAt(kiln.home).volumesDir)).sort(), about('folders of volumes')).toEqual(volumes.sort())
  expect(storageDaemonsOf(kiln.home), about('storage daemons')).toEqual([])
}
