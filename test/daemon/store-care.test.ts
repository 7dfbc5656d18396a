/** The block stores' care through the command, on a running daemon: what is damaged, what it costs, what goes. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import {
  CopyImageCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  DeregisterImageCommand,
  DescribeInstancesCommand,
  EC2Client,
  TerminateInstancesCommand,
  waitUntilImageAvailable,
  waitUntilInstanceRunning,
  waitUntilInstanceTerminated,
  waitUntilSnapshotCompleted,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nbdImage, writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { homeAt } from '../../src/lib/home.ts'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const [region, away] = ['us-east-1', 'eu-west-1']
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 120 }
const mib = 1024 ** 2

let kiln: RunningKiln
let ec2: EC2Client
beforeAll(async () => {
  kiln = await startKiln()
  ec2 = clientIn(region)
})
afterAll(async () => {
  ec2?.destroy()
  await kiln?.cleanup()
})

function clientIn(place: string): EC2Client {
  const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
  return new EC2Client({ endpoint: kiln.url, region: place, credentials })
}

const isEbsBacked = (image: { RootDeviceType: string }) => image.RootDeviceType === 'ebs'
const json = async (...args: string[]) => JSON.parse(await kiln.command(...args, '--json'))

/** How a command ended that was to fail; `said` is its standard error. */
async function failure(...args: string[]): Promise<{ code: number | null; said: string }> {
  const error = await kiln.command(...args).catch((thrown: unknown) => thrown)
  if (!(error instanceof ProgramError)) throw new Error(`it did not fail: ${error}`)
  return { code: error.exitCode, said: error.stderr }
}

async function launch(imageId: string): Promise<{ instanceId: string; volumeId: string }> {
  const { stdout } = await aws('run-instances', '--image-id', imageId, '--instance-type', 't3.nano')
  const instanceId = JSON.parse(stdout).Instances[0].InstanceId as string
  await waitUntilInstanceRunning({ client: ec2, ...waiting }, { InstanceIds: [instanceId] })
  const { Reservations: found } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }))
  return { instanceId, volumeId: found![0]!.Instances![0]!.BlockDeviceMappings![0]!.Ebs!.VolumeId! }
}

const aws = async (...args: string[]) => ({
  stdout: await run('aws', ['--endpoint-url', kiln.url, 'ec2', ...args, '--output', 'json'], { env: kiln.env }),
})

/** What a guest would write, into the file that its machine writes to. */
async function write(volumeId: string, ...commands: string[]): Promise<void> {
  const folder = join(homeAt(kiln.home).volumesDir, volumeId)
  const top = (await readdir(folder)).sort().at(-1)!
  await writeLayer([join(folder, top)], commands)
}

async function imageOf(instanceId: string, name: string): Promise<string> {
  const request = { InstanceId: instanceId, Name: name, NoReboot: true }
  const { ImageId: id } = await ec2.send(new CreateImageCommand(request))
  await waitUntilImageAvailable({ client: ec2, ...waiting }, { ImageIds: [id!] })
  return id!
}

async function blocksOf(place: string): Promise<string[]> {
  const folder = join(homeAt(kiln.home).regionsDir, place, 'store', 'block')
  return (await readdir(folder, { recursive: true }))
    .filter((name) => name.length > 64)
    .map((name) => join(folder, name))
}

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(path, bytes)
}

/** The export that a volume of that image reads, as QEMU opens it. */
function exportOf(volumeId: string): string {
  const { databasePath, runDir } = homeAt(kiln.home)
  const database = new DatabaseSync(databasePath, { readOnly: true })
  const { root } = database.prepare('select base_root as root from volumes where id = ?').get(volumeId) as {
    root: string
  }
  database.close()
  return nbdImage({ socketPath: join(runDir, 'blocks.sock'), exportName: `${region}/${root}/${volumeId}` })
}

test('a fresh home is whole, and has nothing to collect', async () => {
  expect(await kiln.command('check')).toMatch(/REGION +OBJECTS +CONTENT +WRONG\nseed +\d+ +[\d.]+ MiB +none\n/)
  expect(await kiln.command('gc', '--grace', '0')).toMatch(/Freed 0 bytes \(0 bytes\)\.\n$/)
  const refused = await failure('check', '--region', 'eu-west-3')
  expect(refused).toEqual({
    code: 1,
    said: expect.stringMatching(/^kiln: Region 'eu-west-3' has no block store here; [^\n]*\n$/),
  })
})

test('damage: the guest’s read fails, the log and the check say why, a repair brings it back; then the image goes to the byte', async () => {
  const seed = (await json('image', 'list', '--owner', 'amazon')).find(isEbsBacked).ImageId
  const maker = await launch(seed)
  await write(maker.volumeId, 'write -P 1 800M 3M', 'write -P 2 900M 512k')
  const before = await ec2.send(new CreateSnapshotCommand({ VolumeId: maker.volumeId }))
  await waitUntilSnapshotCompleted({ client: ec2, ...waiting }, { SnapshotIds: [before.SnapshotId!] })
  await write(maker.volumeId, 'write -P 3 800M 512k', 'write -P 4 950M 1k')
  const imageId = await imageOf(maker.instanceId, 'cared for')
  const [snapshot] = (await json('image', 'cost', imageId)).snapshots
  const diff = await json('snapshot', 'diff', before.SnapshotId!, snapshot.snapshotId)
  expect(diff).toMatchObject({ blocks: { changed: 1, added: 1, removed: 0 }, bytes: mib })
  expect(await kiln.command('snapshot', 'diff', before.SnapshotId!, snapshot.snapshotId)).toContain('2 blocks, 1.0 MiB')

  const abroad = clientIn(away)
  const known = new Set(await blocksOf(away).catch(() => []))
  await json('image', 'list', '--region', away)
  const seeded = new Set([...known, ...(await blocksOf(away))])
  const { ImageId: copyId } = await abroad.send(
    new CopyImageCommand({ SourceRegion: region, SourceImageId: imageId, Name: 'copy' }),
  )
  await waitUntilImageAvailable({ client: abroad, ...waiting }, { ImageIds: [copyId!] })
  abroad.destroy()
  const moved = (await blocksOf(away)).filter((path) => !seeded.has(path)).map((path) => basename(path))
  expect(moved.length).toBe(4)
  const reader = await launch(imageId)
  const read = () =>
    run('qemu-io', [
      '-r',
      '-c',
      'read -P 1 801M 2M',
      '-c',
      'read -P 3 800M 512k',
      '-c',
      'read -P 2 900M 512k',
      '-c',
      'read -P 4 950M 1k',
      exportOf(reader.volumeId),
    ])
  const hit = (await blocksOf(region)).find((path) => basename(path) === moved[0])!
  await flip(hit)

  const whole = run('qemu-img', ['convert', '-O', 'raw', exportOf(reader.volumeId), join(kiln.home, 'raw')])
  await expect(whole).rejects.toThrow(/error while reading[^|]*: Input\/output error/)
  expect(await readFile(join(homeAt(kiln.home).runDir, 'blocks.log'), 'utf8')).toContain(
    `block ${moved[0]} in ${join(homeAt(kiln.home).regionsDir, region, 'store')} is damaged`,
  )
  const found = await failure('check', '--region', region)
  expect(found).toEqual({
    code: 1,
    said: "kiln: 1 object is damaged or missing: 'kiln check --repair' restores what another region has intact\n",
  })
  expect(await kiln.command('check', '--repair')).toMatch(
    new RegExp(
      `block ${moved[0]} is damaged in ${region}\n  restored from ${away}\n  touches .*${imageId}.*${reader.volumeId}`,
    ),
  )
  await read()
  expect(await kiln.command('check')).not.toMatch(/damaged|missing/)

  await kiln.command('gc', '--grace', '0')
  await ec2.send(new TerminateInstancesCommand({ InstanceIds: [maker.instanceId, reader.instanceId] }))
  await waitUntilInstanceTerminated({ client: ec2, ...waiting }, { InstanceIds: [maker.instanceId, reader.instanceId] })
  const cost = await json('image', 'cost', imageId)
  expect(cost.freedBytes).toBeGreaterThan(0)
  expect(await kiln.command('image', 'cost', imageId)).toContain(`(${cost.freedBytes} bytes)`)
  await ec2.send(new DeregisterImageCommand({ ImageId: imageId, DeleteAssociatedSnapshots: true }))
  const [kept] = await json('gc', '--region', region)
  expect(kept).toMatchObject({ region, bytesFreed: 0 })
  const [collected] = await json('gc', '--region', region, '--grace', '0')
  expect(collected).toMatchObject({ region, roots: 1, bytesFreed: cost.freedBytes, stopped: null })
  expect(await kiln.command('check')).not.toMatch(/damaged|missing/)
})

test('a home that no daemon serves is checked as well', async () => {
  const served = await json('check')
  await kiln.stop()
  try {
    expect(await json('check')).toEqual(served)
    const seedBlock = (await blocksOf('seed'))[0]!
    const intact = await readFile(seedBlock)
    await flip(seedBlock)
    const found = await failure('check', '--region', 'seed')
    expect(found).toEqual({ code: 1, said: expect.stringMatching(/^kiln: 1 object is damaged or missing: [^\n]*\n$/) })
    await writeFile(seedBlock, intact)
    expect((await failure('gc')).said).toContain('no Kiln serves the home')
  } finally {
    await kiln.restart()
  }
})
