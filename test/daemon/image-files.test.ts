/** Images that come from files and go into files, by `kiln image import` and `kiln image export`; and what a crash costs. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DescribeImagesCommand, DescribeImportImageTasksCommand, EC2Client } from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { compareDisks, convertTo, type MadeFormat, writeBootableDisk } from '../support/disk-images.ts'

const account = '111122223333'

let folder: string
let kiln: RunningKiln
const place = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-files-'))
  await writeBootableDisk(place('disk.raw'))
  kiln = await startKiln({ env: { KILN_ACCOUNT: account } })
})
afterAll(async () => {
  await kiln?.cleanup()
  await rm(folder, { recursive: true, force: true })
})

const json = async (...args: string[]) => JSON.parse(await kiln.command(...args, '--json'))

async function failure(...args: string[]): Promise<{ code: number | null; said: string }> {
  const error = await kiln.command(...args).then(
    (output) => new Error(`it succeeded: ${output}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ProgramError)) throw error
  return { code: error.exitCode, said: error.stderr }
}

const staged = async () => await readdir(homeAt(kiln.home).transfersDir).catch(() => [])

test('a disk is imported from a file, and exported into one of each format', async () => {
  await convertTo('vmdk', place('disk.raw'), place('disk.vmdk'))
  const task = await json(
    'image',
    'import',
    place('disk.vmdk'),
    '--wait',
    '--name',
    'from a file',
    '--description',
    'mine',
  )
  const ec2 = new EC2Client({
    endpoint: kiln.url,
    region: 'us-east-1',
    credentials: { accessKeyId: account, secretAccessKey: 'any' },
  })
  const { Images: images } = await ec2.send(new DescribeImagesCommand({ ImageIds: [task.imageId] }))
  expect(images).toMatchObject([{ Name: 'from a file', Description: 'mine', State: 'available', OwnerId: account }])
  for (const format of ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx'] as MadeFormat[]) {
    const file = place(`out.${format}`)
    expect(await json('image', 'export', task.imageId, file)).toMatchObject({ imageId: task.imageId, format, file })
    await compareDisks(format, file, place('disk.raw'))
    // Zeros take no room, in a raw file neither.
    expect((await stat(file)).blocks * 512).toBeLessThan(64 * 1024 ** 2)
  }
  expect(await kiln.command('image', 'export', task.imageId, place('machine.ova'))).toMatch(
    /machine\.ova: ami-.* as OVA/,
  )
  expect(await kiln.command('image', 'import', place('machine.ova'), '--wait')).toMatch(/^ami-[0-9a-f]{17}: .* OVA\n$/)
  expect(await kiln.command('snapshot', 'import', place('out.vhdx'), '--wait')).toMatch(
    /^snap-[0-9a-f]{17}: .* VHDX\n$/,
  )
  expect(await kiln.command('snapshot', 'import', place('out.vhdx'))).toMatch(/^import-snap-[0-9a-f]{17} is under way/)

  expect(await failure('image', 'export', task.imageId, place('out.raw'))).toMatchObject({
    code: 2,
    said: expect.stringContaining('is there already'),
  })
  expect(await failure('image', 'export', task.imageId, place('image'))).toMatchObject({
    code: 2,
    said: expect.stringContaining('name a --format'),
  })
  expect(await failure('image', 'export', 'ami-0123456789abcdef0', place('none.raw'))).toMatchObject({
    code: 1,
    said: expect.stringContaining('does not exist'),
  })
  expect((await readdir(folder)).filter((name) => name.includes('part'))).toEqual([])
  await waitFor(systemClock, async () => (await staged()).length === 0 || undefined, { everyMs: 50, timeoutMs: 30_000 })
  expect(await staged()).toEqual([])
})

test('what cannot be an image is refused with the reason', async () => {
  await writeFile(place('text.raw'), 'no disk at all, but long enough to be looked at'.repeat(100))
  await run('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-u',
    '-b',
    '/etc/passwd',
    '-F',
    'raw',
    place('evil.qcow2'),
    '1M',
  ])
  for (const [file, said] of [
    ['text.raw', 'ClientError: No valid partitions'],
    ['evil.qcow2', 'ClientError: a qcow2 file with a backing file'],
  ]) {
    const wrong = await failure('image', 'import', place(file!), '--wait')
    expect(wrong).toMatchObject({ code: 1, said: expect.stringContaining(said!) })
  }
  expect(await failure('image', 'import', place('disk.raw'), '--format', 'vhd', '--wait')).toMatchObject({
    code: 1,
    said: expect.stringContaining('declared as VHD, and is RAW'),
  })
  expect(await failure('image', 'import', place('nothing'))).toMatchObject({ code: 1 })
  expect(await failure('image', 'import', place('disk.raw'), '--name', '?')).toMatchObject({
    code: 1,
    said: expect.stringContaining('Name'),
  })
  await waitFor(systemClock, async () => (await staged()).length === 0 || undefined, { everyMs: 50, timeoutMs: 30_000 })
  expect(await staged()).toEqual([])
})

test('an import survives kill -9', async () => {
  // Enough to be in the middle of it.
  await rm(place('large.raw'), { force: true })
  await run('cp', [place('disk.raw'), place('large.raw')])
  const file = await open(place('large.raw'), 'r+')
  for (let mib = 24; mib < 400; mib++) {
    await file.write(randomBytes(1024 ** 2), 0, 1024 ** 2, mib * 1024 ** 2)
  }
  await file.close()
  const { id } = await json('image', 'import', place('large.raw'))
  const connect = () =>
    new EC2Client({
      endpoint: kiln.url,
      region: 'us-east-1',
      credentials: { accessKeyId: account, secretAccessKey: 'any' },
    })
  const task = async () =>
    (await connect().send(new DescribeImportImageTasksCommand({ ImportTaskIds: [id] }))).ImportImageTasks![0]!
  for (let kill = 0; kill < 3; kill++) {
    await systemClock.sleep(700)
    await kiln.kill9()
    await kiln.restart()
  }
  const ended = await waitFor(
    systemClock,
    async () => ((await task()).Status === 'active' ? undefined : await task()),
    {
      everyMs: 200,
      timeoutMs: 120_000,
    },
  )
  expect(ended).toMatchObject({ Status: 'completed' })
  const back = place('back.raw')
  await kiln.command('image', 'export', ended!.ImageId!, back)
  await compareDisks('raw', back, place('large.raw'))
  // A store in which nothing is wrong, by its own word.
  expect(await kiln.command('check')).toMatch(/\nus-east-1 .* none\n$/)
  for (const name of ['large.raw', 'back.raw']) await rm(place(name))
})

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

test.skipIf(!hasAws)('the AWS CLI imports from a bucket, waits, and exports into it', async () => {
  await convertTo('vhd', place('disk.raw'), place('disk.vhd'))
  const env = kiln.env
  const aws = (...words: string[]) => run('aws', words, { env, timeoutMs: 120_000 })
  const awsJson = async (...words: string[]) => JSON.parse(await aws(...words, '--output', 'json'))
  await aws('s3', 'mb', 's3://disks-of-mine')
  await aws('s3', 'cp', place('disk.vhd'), 's3://disks-of-mine/disk.vhd')
  const container = 'Format=VHD,UserBucket={S3Bucket=disks-of-mine,S3Key=disk.vhd}'
  const { ImportTaskId: taskId } = await awsJson('ec2', 'import-snapshot', '--disk-container', container)
  await aws('ec2', 'wait', 'snapshot-imported', '--import-task-ids', taskId)
  const { ImportSnapshotTasks: tasks } = await awsJson(
    ...['ec2', 'describe-import-snapshot-tasks', '--import-task-ids', taskId],
  )
  const { SnapshotId: snapshotId, Status: status } = tasks[0].SnapshotTaskDetail
  expect(status).toBe('completed')
  const { ImageId: imageId } = await awsJson(
    ...[
      'ec2',
      'register-image',
      '--name',
      'imported',
      '--root-device-name',
      '/dev/sda1',
      '--virtualization-type',
      'hvm',
    ],
    ...['--block-device-mappings', `DeviceName=/dev/sda1,Ebs={SnapshotId=${snapshotId}}`],
  )
  const { ExportImageTaskId: exportId } = await awsJson(
    ...['ec2', 'export-image', '--image-id', imageId, '--disk-image-format', 'VMDK'],
    ...['--s3-export-location', 'S3Bucket=disks-of-mine,S3Prefix=out/'],
  )
  const exported = async () => {
    const { ExportImageTasks: found } = await awsJson(
      ...['ec2', 'describe-export-image-tasks', '--export-image-task-ids', exportId],
    )
    return found[0].Status === 'active' ? undefined : found[0]
  }
  expect(await waitFor(systemClock, exported, { everyMs: 500, timeoutMs: 60_000 })).toMatchObject({
    Status: 'completed',
  })
  await aws('s3', 'cp', `s3://disks-of-mine/out/${exportId}.vmdk`, place('from-bucket.vmdk'))
  await compareDisks('vmdk', place('from-bucket.vmdk'), place('disk.raw'))
})
