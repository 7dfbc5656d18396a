/** The documentation's template for Packer's amazon-instance builder: its image launches with what was provisioned. */
import { DescribeImagesCommand } from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { belongingsOf, nothingBesides, packer, usePacker } from './support/packer.ts'

describe.skipIf(packer.isMissing)(`Packer${packer.note}`, () => {
  const on = usePacker()

  test('amazon-instance provisions, bundles, uploads and registers; its image launches, and all else that it made is gone', async () => {
    const { ec2, ssh, launch, terminate, describe: instanceOf } = on.fleet
    const imageId = /^us-east-1: (ami-[0-9a-f]{17})$/m.exec(await on.build('amazon-instance'))?.[1]
    const { Images: images } = await ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))
    expect(images).toMatchObject([
      {
        ...{ ImageId: imageId, Name: 'bundled', Description: 'Says hello', State: 'available', Architecture: 'x86_64' },
        RootDeviceType: 'instance-store',
        ImageLocation: expect.stringMatching(/^my-images\/image-\d+\.manifest\.xml$/),
        Tags: [{ Key: 'Role', Value: 'web' }],
      },
    ])
    expect(await belongingsOf(ec2)).toEqual({ images: [imageId], snapshots: [], besides: nothingBesides })

    const [instance] = (await launch({ imageId: imageId!, instanceType: 'm1.small' })) as [string]
    expect((await instanceOf(instance)).RootDeviceType).toBe('instance-store')
    expect(await ssh(instance, 'cat ~/hello')).toBe('hello')
    await terminate([instance])
  })
})
