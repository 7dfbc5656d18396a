/** Exports through the EC2 API, and files that are sent here and fetched: simulated machines, real files and blocks. */

import { readFile } from 'node:fs/promises'
import { CancelExportTaskCommand, ExportImageCommand, ModifyImageAttributeCommand } from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import { noWish } from '../../src/cloud/encryption/encryption.ts'
import { compareDisks, convertTo, type MadeFormat } from '../support/disk-images.ts'
import { account, bucket, object, region, useTransfers } from '../support/image-transfers.ts'
import { expectRefusal } from '../support/served-cloud.ts'

const {
  served,
  caller,
  place,
  getFile,
  putDisk,
  importSnapshot,
  importImage,
  imageTask,
  snapshotTask,
  exportTask,
  expectNothingStaged,
} = useTransfers()
const scope = { accountId: account, region }

describe('ExportImage', () => {
  let imageId: string
  beforeAll(async () => {
    const { ImportTaskId } = await importImage([{ Format: 'RAW', UserBucket: object(await putDisk('raw')) }])
    imageId = (await imageTask(ImportTaskId!)).ImageId!
  })
  const ask = (more: object = {}, client = caller().ec2) =>
    client.send(
      new ExportImageCommand({
        ImageId: imageId,
        DiskImageFormat: 'VMDK',
        S3ExportLocation: { S3Bucket: bucket, S3Prefix: 'exports/' },
        ...more,
      }),
    )

  test.each(['VMDK', 'VHD', 'RAW'] as const)(
    'writes %s into a bucket, which imports again as the same',
    async (format) => {
      const asked = await ask({ DiskImageFormat: format, Description: 'take it', RoleName: 'vmimport' })
      expect(asked).toMatchObject({
        Status: 'active',
        DiskImageFormat: format,
        Description: 'take it',
        RoleName: 'vmimport',
        ImageId: imageId,
        S3ExportLocation: { S3Bucket: bucket, S3Prefix: 'exports/' },
      })
      const id = asked.ExportImageTaskId!
      expect(await exportTask(id)).toMatchObject({ Status: 'completed', ImageId: imageId })
      const key = `exports/${id}.${format.toLowerCase()}`
      await getFile(key, place('exported'))
      await compareDisks(format.toLowerCase() as MadeFormat, place('exported'), place('disk.raw'))
      const { ImportTaskId } = await importSnapshot({ Format: format, UserBucket: object(key) })
      const again = await snapshotTask(ImportTaskId!)
      const { state } = served().deps
      const device = (await state.images.devicesOf([imageId])).get(imageId)![0]!
      const [one, other] = await state.snapshots.many([again.SnapshotId!, device.snapshotId!])
      expect(one!.rootHash).toBe(other!.rootHash)
      await expectNothingStaged()
    },
  )

  test('asks once by its token', async () => {
    const first = await ask({ ClientToken: 'export-once' })
    expect((await ask({ ClientToken: 'export-once' })).ExportImageTaskId).toBe(first.ExportImageTaskId)
    await exportTask(first.ExportImageTaskId!)
  })

  test("refuses others' images, and what cannot be written", async () => {
    const everybody = { Add: [{ Group: 'all' as const }] }
    await caller().ec2.send(new ModifyImageAttributeCommand({ ImageId: imageId, LaunchPermission: everybody }))
    await expectRefusal(ask({}, served().client('000000000009')), 'AuthFailure', imageId)
    await expectRefusal(ask({ ImageId: caller().seedImage }), 'AuthFailure', caller().seedImage)
    await expectRefusal(ask({ ImageId: 'ami-0123456789abcdef0' }), 'InvalidAMIID.NotFound', 'ami-0123456789abcdef0')
    await expectRefusal(ask({ S3ExportLocation: { S3Bucket: 'nobody-has-this' } }), 'InvalidParameter', 'NoSuchBucket')
    await expectRefusal(ask({ S3ExportLocation: { S3Prefix: 'x' } }), 'MissingParameter', 'S3Bucket')
    await expectRefusal(ask({ DiskImageFormat: 'ISO' }), 'InvalidParameterValue', 'DiskImageFormat')
    const name = { Name: 'x', S3ExportLocation: { S3Bucket: bucket, S3Prefix: 'x'.repeat(1024) } }
    await expectRefusal(ask(name), 'InvalidParameter', 'too long')
    const other = '000000000009'
    await served().cloud.buckets.create({ accountId: other, region }, 'of-somebody-else', { canned: 'private' })
    await expectRefusal(ask({ S3ExportLocation: { S3Bucket: 'of-somebody-else' } }), 'InvalidParameter', 'AccessDenied')
  })

  test('a machine of two disks needs a format that holds two', async () => {
    const raw = object(await putDisk('raw'))
    const { ImportTaskId } = await importImage([
      { Format: 'RAW', UserBucket: raw },
      { Format: 'RAW', UserBucket: raw },
    ])
    const { ImageId } = await imageTask(ImportTaskId!)
    await expectRefusal(ask({ ImageId }), 'UnsupportedOperation', '2 disks')
  })

  test('is called off by CancelExportTask, and not once it is completed', async () => {
    const { ExportImageTaskId } = await ask()
    const cancel = new CancelExportTaskCommand({ ExportTaskId: ExportImageTaskId })
    const isCanceled = await caller()
      .ec2.send(cancel)
      .then(
        () => true,
        () => false,
      )
    const task = await exportTask(ExportImageTaskId!)
    expect(task.Status).toBe(isCanceled ? 'deleted' : 'completed')
    expect(isCanceled).toBe(true)
    await expectNothingStaged()
    const head = served().cloud.objects.head(account, { bucket, key: `exports/${ExportImageTaskId}.vmdk` })
    await expect(head).rejects.toMatchObject({ code: 'NoSuchKey' })
    await expectRefusal(caller().ec2.send(cancel), 'IncorrectState', ExportImageTaskId!)
    const none = new CancelExportTaskCommand({ ExportTaskId: 'export-ami-0123456789abcdef0' })
    await expectRefusal(caller().ec2.send(none), 'InvalidExportTaskID.NotFound', 'export-ami-')
  })
})

describe('a file that is sent here', () => {
  test('is imported once it is whole, piece by piece in any order', async () => {
    const { uploads, imports, exports, tasks } = served().cloud.transfers
    await convertTo('vhdx', place('disk.raw'), place('sent.vhdx'))
    const content = await readFile(place('sent.vhdx'))
    const { id } = await uploads.begin(content.length)
    const half = Math.floor(content.length / 2)
    await uploads.write(id, half, content.subarray(half))
    await uploads.write(id, 0, content.subarray(0, half))
    await uploads.write(id, 0, content.subarray(0, half))
    await expect(uploads.write(id, content.length, Buffer.alloc(1))).rejects.toMatchObject({
      code: 'InvalidParameterValue',
    })
    await expect(uploads.write('upload-../../etc', 0, Buffer.alloc(1))).rejects.toMatchObject({
      code: 'InvalidParameterValue',
    })
    const container = { description: null, format: null, deviceName: null, uploadId: id }
    const about = { description: null, tags: [], name: 'sent', licenseType: null, bootMode: null, encryption: noWish }
    const { id: taskId } = await imports.importImage(scope, { ...about, containers: [container] })
    const task = await imageTask(taskId)
    expect(task).toMatchObject({ Status: 'completed', SnapshotDetails: [{ Format: 'VHDX' }] })
    await expectNothingStaged()
    await expect(uploads.file(id)).rejects.toMatchObject({ code: 'InvalidParameterValue' })

    const target = { imageId: task.ImageId!, description: null, target: null, tags: [] }
    const { id: exportId } = await exports.exportImage(scope, { ...target, format: 'ova' })
    await exportTask(exportId)
    const { totalBytes } = await exports.read(exportId, 0, 1)
    const { piece } = await exports.read(exportId, 0, 1024 ** 3)
    expect(piece.length).toBe(totalBytes)
    await exports.release(exportId)
    await expect(exports.read(exportId, 0, 1)).rejects.toMatchObject({ code: 'IncorrectState' })
    // And the OVA is a machine again.
    const ova = await uploads.begin(piece.length)
    await uploads.write(ova.id, 0, piece)
    const again = await imports.importImage(scope, {
      ...about,
      name: null,
      containers: [{ ...container, uploadId: ova.id }],
    })
    expect(await imageTask(again.id)).toMatchObject({ Status: 'completed', SnapshotDetails: [{ Format: 'OVA' }] })
    expect((await tasks.get(again.id)).disks[0]!.snapshotId).toMatch(/^snap-/)
    await expectNothingStaged()
  })
})
