/** Files that become a publisher's public images, and which of these there are. */
import type { DaemonPage } from '../server.ts'
import { control } from './daemon.ts'
import { followTask, sendFile, type Task } from './file-transfers.ts'

/** An image of a publisher, as the daemon tells it. */
export interface PublishedImage {
  region: string
  imageId: string
  imageName: string
  accountId: string
  catalogueName: string
  version: string
  sourceUrl: string
  checksum: string
  verifiedBy: 'signature' | 'checksum'
  fileBytes: number
  pulledAt: number
}

export interface Publication {
  publisher: { accountId: string; ownerAlias: string | null }
  region: string
  imageName: string
  description: string
  rootDevice: string
  isPartitioned: boolean
  catalogueName: string
  version: string
  sourceUrl: string
  /** `sha256:…` or `sha512:…`. */
  checksum: string
  verifiedBy: 'signature' | 'checksum'
}

/** Those of all regions, or of one, which then is opened. */
export async function publishedImages(page: DaemonPage, region?: string): Promise<PublishedImage[]> {
  const query = region ? `?${new URLSearchParams({ region })}` : ''
  return (await control<{ images: PublishedImage[] }>(page, `/_kiln/pulled-images${query}`)).images
}

/** Sends the file and makes the image of it; resolves when it can be launched. */
export async function publishFile(page: DaemonPage, path: string, publication: Publication): Promise<void> {
  const { publisher, region, imageName, description, rootDevice, isPartitioned } = publication
  const wish = new URLSearchParams({
    ...{ account: publisher.accountId, region, catalogue: publication.catalogueName, version: publication.version },
    ...(publisher.ownerAlias ? { alias: publisher.ownerAlias } : {}),
    ...{ url: publication.sourceUrl, name: imageName, description, device: rootDevice },
    ...{ checksum: publication.checksum, verified: publication.verifiedBy, partitioned: isPartitioned ? 'yes' : 'no' },
  })
  const uploadId = await sendFile(page, path)
  const task = await control<Task>(page, `/_kiln/uploads/${uploadId}/publish?${wish}`, 'POST').catch(async (error) => {
    await control(page, `/_kiln/uploads/${uploadId}`, 'DELETE').catch(() => {})
    throw error
  })
  await followTask(page, task, `registering ${imageName}`)
}
