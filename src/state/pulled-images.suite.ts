/** Which publishers' images lie where; part of the state suite. */
import { describe, expect, test } from 'vitest'
import type { PulledImage } from './pulled-images.ts'
import type { State } from './state.ts'

const debian = (region: string, about: Partial<PulledImage> = {}): PulledImage => ({
  ...{ region, accountId: '136693071363', imageName: 'debian-12-amd64-20260101-0001', imageId: `ami-${region}` },
  ...{ catalogueName: 'debian-12', version: '20260101-0001', sourceUrl: 'https://example.org/disk.qcow2' },
  ...{ checksum: 'sha512:00', verifiedBy: 'checksum', fileBytes: 2 ** 40, pulledAt: 1000 },
  ...about,
})

export function pulledImageTests(state: () => State): void {
  describe('pulled images', () => {
    test('a region lacks what others have had, until it has had it too', async () => {
      const { pulledImages } = state()
      await pulledImages.put(debian('eu-west-1'))
      await pulledImages.put(debian('us-east-1', { pulledAt: 2000 }))
      expect(await pulledImages.missingIn('eu-west-1')).toEqual([])
      const offers = await pulledImages.missingIn('ap-south-1')
      expect(offers.map((row) => [row.region, row.fileBytes])).toEqual([
        ['eu-west-1', 2 ** 40],
        ['us-east-1', 2 ** 40],
      ])
      await pulledImages.put(debian('ap-south-1', { pulledAt: 3000 }))
      expect(await pulledImages.missingIn('ap-south-1')).toEqual([])
      expect((await pulledImages.list()).map((row) => row.region)).toEqual(['ap-south-1', 'us-east-1', 'eu-west-1'])
    })

    test('pulling again takes the place of what was pulled', async () => {
      const { pulledImages } = state()
      await pulledImages.put(debian('eu-west-1'))
      await pulledImages.put(debian('eu-west-1', { imageId: 'ami-again', pulledAt: 5000 }))
      expect(await pulledImages.list()).toEqual([debian('eu-west-1', { imageId: 'ami-again', pulledAt: 5000 })])
    })
  })
}
