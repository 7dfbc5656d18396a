/** The documentation's templates for Packer's builders of EBS-backed images: what they make is shared, copied, and launches. */
import {
  DescribeImageAttributeCommand,
  DescribeImagesCommand,
  DescribeSnapshotAttributeCommand,
  DescribeSnapshotsCommand,
  type Image,
} from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { accountId, belongingsOf, nothingBesides, packer, usePacker } from './support/packer.ts'

/** Whom the template shares with. */
const friend = '210987654321'

describe.skipIf(packer.isMissing)(`Packer${packer.note}`, () => {
  const on = usePacker()

  async function imageIn({ ec2 }: Fleet, imageId: string): Promise<{ image: Image; snapshotId: string }> {
    const { Images: images } = await ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
    return { image: images![0]!, snapshotId: images![0]!.BlockDeviceMappings![0]!.Ebs!.SnapshotId! }
  }

  /** What a launch of the image shows of the provisioned file. */
  async function greetingOf({ launch, ssh, terminate }: Fleet, imageId: string): Promise<string> {
    const [instance] = (await launch({ imageId })) as [string]
    const said = await ssh(instance, 'cat ~/hello')
    await terminate([instance])
    return said
  }

  test('amazon-ebs makes an image with tags and shared permissions in two regions, and the copy launches', async () => {
    const said = await on.build('amazon-ebs')
    const there = await prepareFleet(on.kiln, 'eu-west-1', accountId)
    for (const [region, fleet] of [
      ['us-east-1', on.fleet],
      ['eu-west-1', there],
    ] as const) {
      const imageId = new RegExp(`^${region}: (ami-[0-9a-f]{17})$`, 'm').exec(said)![1]!
      const { image, snapshotId } = await imageIn(fleet, imageId)
      const tags = [
        { Key: 'Base', Value: expect.stringMatching(/^kiln-linux-.*-ebs$/) },
        { Key: 'Role', Value: 'web' },
      ]
      expect(image).toMatchObject({ Name: 'web', Description: 'Says hello', State: 'available', Public: false })
      expect(image.Tags).toEqual(expect.arrayContaining(tags))
      const { Snapshots: snapshots } = await fleet.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [snapshotId] }))
      expect(snapshots![0]!.Tags).toEqual(expect.arrayContaining([{ Key: 'Role', Value: 'web-root' }]))
      const shared = { UserId: friend }
      const ofImage = { ImageId: imageId, Attribute: 'launchPermission' } as const
      const ofSnapshot = { SnapshotId: snapshotId, Attribute: 'createVolumePermission' } as const
      expect((await fleet.ec2.send(new DescribeImageAttributeCommand(ofImage))).LaunchPermissions).toEqual([shared])
      expect((await fleet.ec2.send(new DescribeSnapshotAttributeCommand(ofSnapshot))).CreateVolumePermissions).toEqual([
        shared,
      ])
      expect(await belongingsOf(fleet.ec2)).toEqual({
        ...{ images: [imageId], snapshots: [snapshotId], besides: nothingBesides },
      })
      if (region === 'eu-west-1') expect(await greetingOf(fleet, imageId)).toBe('hello')
    }
  })

  test('amazon-ebssurrogate makes an encrypted image of a volume that was never booted', async () => {
    const before = await belongingsOf(on.fleet.ec2)
    const imageId = /^us-east-1: (ami-[0-9a-f]{17})$/m.exec(await on.build('amazon-ebssurrogate'))![1]!
    const { image, snapshotId } = await imageIn(on.fleet, imageId)
    expect(image).toMatchObject({
      ...{ Name: 'offline', State: 'available', RootDeviceName: '/dev/xvda', VirtualizationType: 'hvm' },
      Tags: [{ Key: 'Role', Value: 'offline' }],
    })
    expect(image.BlockDeviceMappings).toMatchObject([{ DeviceName: '/dev/xvda', Ebs: { Encrypted: true } }])
    // The image that was encrypted, and its snapshot, are gone too.
    const after = await belongingsOf(on.fleet.ec2)
    expect(after.images.sort()).toEqual([...before.images, imageId].sort())
    expect(after.snapshots.sort()).toEqual([...before.snapshots, snapshotId].sort())
    expect(after.besides).toEqual(nothingBesides)
    expect(await greetingOf(on.fleet, imageId)).toBe('never booted')
  })
})
