/** A machine's whole disk through the EBS direct APIs: read block by block from one snapshot, written into another, and booted. */
import { EBSClient } from '@aws-sdk/client-ebs'
import { CopySnapshotCommand, DescribeImagesCommand, EC2Client, RegisterImageCommand } from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { DirectSnapshots } from '../support/direct-snapshots.ts'
import { useFleet } from './support/fleet.ts'

const accountId = '111122223333'
const region = 'us-east-1'
const on = useFleet({ hasInstance: false, accountId })

test('Kiln Linux, read and written block by block, boots', async () => {
  const { fleet } = on
  const settings = { endpoint: on.kiln.url, region, credentials: { accessKeyId: accountId, secretAccessKey: 'any' } }
  const direct = new DirectSnapshots(new EBSClient(settings), new EC2Client(settings))
  const { Images: images } = await direct.ec2.send(new DescribeImagesCommand({ ImageIds: [fleet.kilnLinux] }))
  const { RootDeviceName: rootDevice, BlockDeviceMappings: devices } = images![0]!
  const { SnapshotId: source } = await direct.ec2.send(
    new CopySnapshotCommand({ SourceRegion: region, SourceSnapshotId: devices![0]!.Ebs!.SnapshotId }),
  )
  await direct.settled(source!)
  const disk = await direct.read(source!)
  expect(disk.size).toBeGreaterThan(10)
  const written = await direct.make(disk, { VolumeSize: devices![0]!.Ebs!.VolumeSize })
  const { ImageId: imageId } = await direct.ec2.send(
    new RegisterImageCommand({
      Name: 'written',
      RootDeviceName: rootDevice,
      VirtualizationType: 'hvm',
      Architecture: 'x86_64',
      EnaSupport: true,
      BlockDeviceMappings: [{ DeviceName: rootDevice, Ebs: { SnapshotId: written } }],
    }),
  )
  const [instance] = await fleet.launch({ imageId })
  expect(await fleet.ssh(instance!, 'echo kept > note && sync && uname -s && cat note')).toBe('Linux\nkept')
  await fleet.terminate([instance!])
})
