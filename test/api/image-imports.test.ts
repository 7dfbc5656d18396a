/** Imports through the EC2 API, with the official client: simulated machines, real files and blocks. */
import { rm } from 'node:fs/promises'
import {
  CancelImportTaskCommand,
  CreateTagsCommand,
  DescribeImagesCommand,
  DescribeImportSnapshotTasksCommand,
  DescribeSnapshotsCommand,
  ImportImageCommand,
  type ImportImageCommandInput,
  ImportSnapshotCommand,
  type ImportSnapshotCommandInput,
  waitUntilSnapshotImported,
} from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import type { MadeFormat } from '../support/disk-images.ts'
import { account, bucket, object, useTransfers } from '../support/image-transfers.ts'
import { expectRefusal } from '../support/served-cloud.ts'

const {
  served,
  caller,
  faults,
  place,
  putFile,
  putDisk,
  importSnapshot,
  importImage,
  imageTask,
  snapshotTask,
  expectNothingStaged,
  snapshotCount,
} = useTransfers()

describe('ImportSnapshot', () => {
  test.each<MadeFormat>(['raw', 'vmdk', 'vhd', 'vhdx', 'qcow2'])(
    'makes a snapshot of a file in a bucket: %s',
    async (format) => {
      const key = await putDisk(format)
      const asked = await importSnapshot(
        { Format: format.toUpperCase(), UserBucket: object(key), Description: 'a disk' },
        {
          Description: `from ${format}`,
          TagSpecifications: [{ ResourceType: 'import-snapshot-task', Tags: [{ Key: 'kind', Value: format }] }],
        },
      )
      expect(asked).toMatchObject({
        ImportTaskId: expect.stringMatching(/^import-snap-[0-9a-f]{17}$/),
        Description: `from ${format}`,
        Tags: [{ Key: 'kind', Value: format }],
        SnapshotTaskDetail: { Status: 'active', Progress: '0', StatusMessage: 'pending', UserBucket: object(key) },
      })
      await waitUntilSnapshotImported(
        { client: caller().ec2, maxWaitTime: 60, minDelay: 0.1, maxDelay: 0.3 },
        { ImportTaskIds: [asked.ImportTaskId!] },
      )
      const detail = await snapshotTask(asked.ImportTaskId!)
      expect(detail).toMatchObject({
        Status: 'completed',
        Format: format.toUpperCase(),
        Description: 'a disk',
        Encrypted: false,
      })
      expect(detail.DiskImageSize).toBeGreaterThan(4096)
      const { Snapshots: found } = await caller().ec2.send(
        new DescribeSnapshotsCommand({ SnapshotIds: [detail.SnapshotId!] }),
      )
      expect(found).toMatchObject([
        {
          State: 'completed',
          Progress: '100%',
          VolumeSize: 1,
          Description: `from ${format}`,
          OwnerId: account,
          VolumeId: 'vol-ffffffff',
        },
      ])
      await expectNothingStaged()
    },
  )

  test('the same disk in another format is the same snapshot, to the byte', async () => {
    const roots = new Set<string | null>()
    for (const format of ['raw', 'vmdk', 'vhdx'] as const) {
      const { ImportTaskId } = await importSnapshot({ Format: format, Url: `s3://${bucket}/${await putDisk(format)}` })
      const { SnapshotId } = await snapshotTask(ImportTaskId!)
      const row = (await served().deps.state.snapshots.get(SnapshotId!))!
      roots.add(row.rootHash)
      // It came from nowhere, and so has nothing in common with any other.
      expect([row.chargedBytes, row.chargeParentId]).toEqual([row.dataBytes, null])
    }
    expect(roots.size).toBe(1)
  })

  test('a token asks once; its tasks are found by state and tag', async () => {
    const key = await putDisk('raw')
    const asked = { DiskContainer: { Format: 'RAW', UserBucket: object(key) }, ClientToken: 'once' }
    const first = await caller().ec2.send(new ImportSnapshotCommand(asked))
    const second = await caller().ec2.send(new ImportSnapshotCommand(asked))
    expect(second.ImportTaskId).toBe(first.ImportTaskId)
    await expectRefusal(
      caller().ec2.send(new ImportSnapshotCommand({ ...asked, Description: 'other' })),
      'IdempotentParameterMismatch',
      'once',
    )
    await snapshotTask(first.ImportTaskId!)
    await caller().ec2.send(
      new CreateTagsCommand({ Resources: [first.ImportTaskId!], Tags: [{ Key: 'a', Value: 'b' }] }),
    )
    const filters = [
      { Name: 'task-state', Values: ['completed'] },
      { Name: 'tag:a', Values: ['b'] },
    ]
    const { ImportSnapshotTasks: found } = await caller().ec2.send(
      new DescribeImportSnapshotTasksCommand({ Filters: filters }),
    )
    expect(found!.map((task) => task.ImportTaskId)).toEqual([first.ImportTaskId])
  })

  test.each<[string, ImportSnapshotCommandInput, string, string]>([
    ['no container', {}, 'MissingParameter', 'DiskContainer'],
    ['no format', { DiskContainer: { Url: `s3://${bucket}/x` } }, 'MissingParameter', 'Format'],
    ['no place', { DiskContainer: { Format: 'RAW' } }, 'MissingParameter', 'UserBucket'],
    ['a format of no disk', { DiskContainer: { Format: 'ISO', Url: 's3://a/b' } }, 'InvalidParameterValue', 'Format'],
    ['an OVA', { DiskContainer: { Format: 'OVA', Url: 's3://a/b' } }, 'InvalidParameterValue', 'Format'],
    [
      'two places',
      { DiskContainer: { Format: 'RAW', Url: 's3://a/b', UserBucket: { S3Bucket: 'a', S3Key: 'b' } } },
      'InvalidParameterCombination',
      'Url and UserBucket',
    ],
    ['half a place', { DiskContainer: { Format: 'RAW', UserBucket: { S3Bucket: 'a' } } }, 'MissingParameter', 'S3Key'],
    [
      'no such bucket',
      { DiskContainer: { Format: 'RAW', Url: 's3://nobody-has-this/b' } },
      'InvalidParameter',
      'NoSuchBucket',
    ],
    [
      'no such object',
      { DiskContainer: { Format: 'RAW', Url: `s3://${bucket}/none` } },
      'InvalidParameter',
      'NoSuchKey',
    ],
    [
      'another host',
      { DiskContainer: { Format: 'RAW', Url: 'https://example.com/disk.raw' } },
      'InvalidParameter',
      's3://',
    ],
    [
      'the metadata service',
      { DiskContainer: { Format: 'RAW', Url: 'http://169.254.169.254/latest' } },
      'InvalidParameter',
      's3://',
    ],
    [
      'a file of the host',
      { DiskContainer: { Format: 'RAW', Url: 'file:///etc/passwd' } },
      'InvalidParameter',
      's3://',
    ],
    [
      'a signed URL',
      { DiskContainer: { Format: 'RAW', Url: `https://${bucket}.s3.amazonaws.com/x?X-Amz-Signature=1` } },
      'InvalidParameter',
      's3://',
    ],
    [
      'a key without encryption',
      { KmsKeyId: 'alias/aws/ebs', DiskContainer: { Format: 'RAW', Url: `s3://${bucket}/x` } },
      'InvalidParameterDependency',
      'KmsKeyId',
    ],
  ])('refuses %s', async (_, input, code, named) => {
    await expectRefusal(caller().ec2.send(new ImportSnapshotCommand(input)), code, named)
  })

  test("does not read another account's bucket", async () => {
    await putDisk('raw')
    const stranger = served().client('000000000009')
    const container = { Format: 'RAW', UserBucket: object('disk.raw') }
    await expectRefusal(
      stranger.send(new ImportSnapshotCommand({ DiskContainer: container })),
      'InvalidParameter',
      'AccessDenied',
    )
  })

  test('takes the https forms of S3 for its own buckets', async () => {
    await putDisk('raw', 'disk one.raw')
    for (const url of [
      `https://${bucket}.s3.amazonaws.com/disk%20one.raw`,
      `https://s3.eu-west-1.amazonaws.com/${bucket}/disk%20one.raw`,
    ]) {
      const { ImportTaskId } = await importSnapshot({ Format: 'RAW', Url: url })
      expect(await snapshotTask(ImportTaskId!)).toMatchObject({ Status: 'completed', Url: url })
    }
  })

  test('a file that leads elsewhere ends in an error that says why, and nothing of it stays', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', place('bad'), '10M'])
    await putFile('bad', place('bad'))
    const before = await snapshotCount()
    for (const [format, said] of [
      ['QCOW2', 'ClientError: a qcow2 file with a backing file'],
      ['RAW', 'ClientError: not what it was said to be: it is declared as RAW, and is QCOW2'],
    ]) {
      const { ImportTaskId } = await importSnapshot({ Format: format, UserBucket: object('bad') })
      const detail = await snapshotTask(ImportTaskId!)
      expect(detail).toMatchObject({ Status: 'error', StatusMessage: expect.stringContaining(said!) })
      expect(detail.SnapshotId).toBeUndefined()
      await expect(
        waitUntilSnapshotImported({ client: caller().ec2, maxWaitTime: 20 }, { ImportTaskIds: [ImportTaskId!] }),
      ).rejects.toThrow()
    }
    expect(await snapshotCount()).toBe(before)
    await expectNothingStaged()
  })

  test('a disk larger than any volume is refused, whatever little room it takes', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', place('huge'), '65T'])
    await putFile('huge', place('huge'))
    const { ImportTaskId } = await importSnapshot({ Format: 'QCOW2', UserBucket: object('huge') })
    expect(await snapshotTask(ImportTaskId!)).toMatchObject({
      Status: 'error',
      StatusMessage: expect.stringContaining('at most 65536 GiB'),
    })
  })

  test('a full disk of the host is told as that, and nothing stays', async () => {
    const key = await putDisk('raw')
    const before = await snapshotCount()
    faults.onCapture = async () => {
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    }
    const { ImportTaskId } = await importSnapshot({ Format: 'RAW', UserBucket: object(key) })
    const detail = await snapshotTask(ImportTaskId!)
    faults.onCapture = async () => {}
    expect(detail).toMatchObject({ Status: 'error', StatusMessage: 'ServerError: the disk of the host is full' })
    expect(await snapshotCount()).toBe(before)
    await expectNothingStaged()
  })
})

describe('ImportImage', () => {
  test('makes an image that can be launched', async () => {
    const key = await putDisk('vmdk')
    const asked = await importImage([{ Format: 'VMDK', UserBucket: object(key), Description: 'root' }], {
      Description: 'a machine',
      LicenseType: 'BYOL',
      BootMode: 'legacy-bios',
      Architecture: 'x86_64',
      TagSpecifications: [{ ResourceType: 'import-image-task', Tags: [{ Key: 'a', Value: 'b' }] }],
    })
    expect(asked).toMatchObject({ Status: 'active', LicenseType: 'BYOL', Tags: [{ Key: 'a', Value: 'b' }] })
    const task = await imageTask(asked.ImportTaskId!)
    expect(task).toMatchObject({
      Status: 'completed',
      ImageId: expect.stringMatching(/^ami-[0-9a-f]{17}$/),
      Architecture: 'x86_64',
      BootMode: 'legacy-bios',
      SnapshotDetails: [{ Format: 'VMDK', DeviceName: '/dev/sda1', Description: 'root', Status: 'completed' }],
    })
    const { Images: found } = await caller().ec2.send(new DescribeImagesCommand({ ImageIds: [task.ImageId!] }))
    expect(found).toMatchObject([
      {
        Name: asked.ImportTaskId,
        Description: 'a machine',
        State: 'available',
        RootDeviceName: '/dev/sda1',
        BootMode: 'legacy-bios',
        BlockDeviceMappings: [
          { DeviceName: '/dev/sda1', Ebs: { SnapshotId: task.SnapshotDetails![0]!.SnapshotId, VolumeSize: 1 } },
        ],
      },
    ])
    await caller().launch({ ImageId: task.ImageId })
    await expectNothingStaged()
  })

  test('takes several files and snapshots for one machine', async () => {
    const raw = await putDisk('raw')
    const { ImportTaskId: first } = await importSnapshot({ Format: 'RAW', UserBucket: object(raw) })
    const { SnapshotId } = await snapshotTask(first!)
    const { ImportTaskId } = await importImage([
      { Format: 'VHD', UserBucket: object(await putDisk('vhd')) },
      { Format: 'RAW', UserBucket: object(raw), DeviceName: '/dev/sdf' },
      { SnapshotId },
    ])
    const task = await imageTask(ImportTaskId!)
    expect(task).toMatchObject({ Status: 'completed' })
    expect(task.SnapshotDetails!.map((each) => each.DeviceName)).toEqual(['/dev/sda1', '/dev/sdf', '/dev/sdb'])
    expect(task.SnapshotDetails![2]!.SnapshotId).toBe(SnapshotId)
  })

  test.each<[string, (path: string) => Promise<unknown>, string]>([
    ['nothing but zeros', (path) => run('qemu-img', ['create', '-q', '-f', 'raw', path, '4M']), 'No valid partitions'],
    [
      'a file system without partitions',
      (path) => run('mke2fs', ['-q', '-t', 'ext4', path, '4M']),
      'No valid partitions',
    ],
  ])('refuses a disk that cannot boot: %s', async (_, make, said) => {
    await make(place('no-boot'))
    await putFile('no-boot', place('no-boot'))
    const before = await snapshotCount()
    const { ImportTaskId } = await importImage([{ Format: 'RAW', UserBucket: object('no-boot') }])
    const task = await imageTask(ImportTaskId!)
    expect(task).toMatchObject({ Status: 'deleted', StatusMessage: expect.stringContaining(said) })
    expect(task.ImageId).toBeUndefined()
    expect(await snapshotCount()).toBe(before)
    await rm(place('no-boot'))
    await expectNothingStaged()
  })

  test('takes back the snapshots of a machine whose second disk is refused', async () => {
    const before = await snapshotCount()
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', place('bad2'), '10M'])
    await putFile('bad2', place('bad2'))
    const { ImportTaskId } = await importImage([
      { Format: 'RAW', UserBucket: object(await putDisk('raw')) },
      { Format: 'QCOW2', UserBucket: object('bad2') },
    ])
    expect(await imageTask(ImportTaskId!)).toMatchObject({
      Status: 'deleted',
      StatusMessage: expect.stringContaining('backing'),
    })
    expect(await snapshotCount()).toBe(before)
  })

  test.each<[string, Partial<ImportImageCommandInput>, string, string]>([
    ['no disks', {}, 'MissingParameter', 'DiskContainers'],
    ['UEFI', { BootMode: 'uefi', DiskContainers: [{ Description: 'x' }] }, 'UnsupportedOperation', "BootMode 'uefi'"],
    [
      'Windows',
      { Platform: 'Windows', DiskContainers: [{ Description: 'x' }] },
      'UnsupportedOperation',
      "Platform 'Windows'",
    ],
    [
      '32 bits',
      { Architecture: 'i386', DiskContainers: [{ Description: 'x' }] },
      'UnsupportedOperation',
      "Architecture 'i386'",
    ],
    [
      'an unknown architecture',
      { Architecture: 'vax', DiskContainers: [{ Description: 'x' }] },
      'InvalidParameterValue',
      'Architecture',
    ],
    [
      'a licence of no kind',
      { LicenseType: 'mine', DiskContainers: [{ Description: 'x' }] },
      'InvalidParameterValue',
      'LicenseType',
    ],
    [
      'an empty container',
      { DiskContainers: [{ Description: 'x' }] },
      'MissingParameter',
      'DiskContainer.1.UserBucket',
    ],
    [
      'a device of no name',
      { DiskContainers: [{ SnapshotId: 'snap-0123456789abcdef0', DeviceName: '../x' }] },
      'InvalidParameterValue',
      'DeviceName',
    ],
    [
      'a snapshot of nobody',
      { DiskContainers: [{ SnapshotId: 'snap-0123456789abcdef0' }] },
      'InvalidSnapshot.NotFound',
      'snap-0123456789abcdef0',
    ],
    [
      'a key of nobody',
      { Encrypted: true, KmsKeyId: 'alias/none', DiskContainers: [{ Format: 'RAW', Url: `s3://${bucket}/x` }] },
      'InvalidParameterValue',
      'KmsKeyId',
    ],
    [
      'an OVA beside other disks',
      {
        DiskContainers: [
          { Format: 'OVA', Url: 's3://aaa/b' },
          { Format: 'RAW', Url: 's3://aaa/b' },
        ],
      },
      'InvalidParameterCombination',
      'OVA',
    ],
  ])('refuses %s', async (_, input, code, named) => {
    await expectRefusal(caller().ec2.send(new ImportImageCommand(input)), code, named)
  })
})

describe('CancelImportTask', () => {
  test('takes back what was done, while it is done', async () => {
    const key = await putDisk('raw')
    const before = await snapshotCount()
    const reached = Promise.withResolvers<void>()
    faults.onCapture = (signal) =>
      new Promise((_, reject) => {
        reached.resolve()
        signal!.addEventListener('abort', () => reject(signal!.reason))
      })
    const { ImportTaskId } = await importImage([{ Format: 'RAW', UserBucket: object(key) }])
    await reached.promise
    const canceled = await caller().ec2.send(new CancelImportTaskCommand({ ImportTaskId, CancelReason: 'a mistake' }))
    expect(canceled).toMatchObject({ ImportTaskId, PreviousState: 'active', State: 'deleting' })
    const task = await imageTask(ImportTaskId!)
    faults.onCapture = async () => {}
    expect(task).toMatchObject({ Status: 'deleted', StatusMessage: 'The task was canceled: a mistake' })
    expect(await snapshotCount()).toBe(before)
    await expectNothingStaged()
    await expectRefusal(
      caller().ec2.send(new CancelImportTaskCommand({ ImportTaskId })),
      'IncorrectState',
      ImportTaskId!,
    )
  })

  test("does not reach others' tasks, nor what is none", async () => {
    const { ImportTaskId } = await importSnapshot({ Format: 'RAW', UserBucket: object(await putDisk('raw')) })
    const cancel = (id: string, client = caller().ec2) => client.send(new CancelImportTaskCommand({ ImportTaskId: id }))
    await expectRefusal(
      cancel(ImportTaskId!, served().client('000000000009')),
      'InvalidConversionTaskId',
      ImportTaskId!,
    )
    await expectRefusal(cancel('import-ami-0123456789abcdef0'), 'InvalidConversionTaskId', 'import-ami-')
    await expectRefusal(cancel('import-ami-x'), 'InvalidConversionTaskId.Malformed', 'import-ami-x')
    await snapshotTask(ImportTaskId!)
    await expectRefusal(cancel(ImportTaskId!), 'IncorrectState', 'completed')
    const unseen = new DescribeImportSnapshotTasksCommand({ ImportTaskIds: [ImportTaskId!] })
    await expectRefusal(served().client('000000000009').send(unseen), 'InvalidConversionTaskId', ImportTaskId!)
  })
})
