/** The table of publishers' images that were pulled, or brought from the region that they were pulled into. */
import type { TimeMs } from '../schema.ts'

/** One row for each region that has had the image: what its owner deregistered there does not come back by itself. */
export interface PulledImagesTable {
  region: string
  /** The publisher's. */
  accountId: string
  /** As the publisher registers it on EC2. */
  imageName: string
  imageId: string
  /** What `kiln image pull` was asked for. */
  catalogueName: string
  version: string
  sourceUrl: string
  /** `sha256:…` or `sha512:…`, of the file at the publisher's. */
  checksum: string
  /** Whether the publisher's signature was proved, or the checksum alone. */
  verifiedBy: 'signature' | 'checksum'
  fileBytes: number
  pulledAt: TimeMs
}

export interface PulledImageTables {
  pulledImages: PulledImagesTable
}
