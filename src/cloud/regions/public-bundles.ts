/**
 * Public images that lie in a bundle: every region has their parts in a bucket of the public owner, and a manifest for this
 * cloud, signed by it.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { type PackedImage, sealManifest } from '../../bundles/bundle.ts'
import type { BundleKey } from '../../bundles/seals.ts'
import { newId } from '../../lib/ids.ts'
import { version } from '../../lib/version.ts'
import type { Buckets } from '../buckets/buckets.ts'
import type { Objects } from '../buckets/objects.ts'
import type { Certificates, CloudIdentity } from '../certificates/certificates.ts'
import type { CloudDeps } from '../deps.ts'
import { publicOwner } from './public-owner.ts'

export interface PublicBundle {
  name: string
  description: string
  architecture: string
  packed: PackedImage
  key: BundleKey
  /** Where the parts lie on this host. */
  folder: string
}

export interface BundleRooms {
  buckets: Buckets
  objects: Objects
  certificates: Certificates
}

const rootDevice = '/dev/sda1'

/** Puts the bundle into the region and registers its image, where that was not done yet. May be repeated. */
export async function registerPublicBundle(
  { state, clock, random }: Pick<CloudDeps, 'state' | 'clock' | 'random'>,
  { buckets, objects, certificates }: BundleRooms,
  region: string,
  image: PublicBundle,
): Promise<void> {
  const { accountId, alias: ownerAlias } = publicOwner
  if (await state.images.named(accountId, region, image.name)) return
  const identity = await certificates.cloudIdentity()
  const bucket = bucketOf(region, identity)
  const acl = { canned: 'public-read' } as const
  await buckets.ensure({ accountId, region }, bucket)
  const put = (name: string, content: AsyncIterable<Uint8Array>) =>
    objects.put(accountId, { bucket, key: `${image.name}/${name}` }, { content, acl })
  for (const { filename } of image.packed.parts) await put(filename, createReadStream(join(image.folder, filename)))
  const { document } = sealManifest(image.packed, {
    ...{ user: accountId, bundler: { name: 'kiln', version, release: '' }, architecture: image.architecture },
    blockDeviceMapping: [
      { virtual: 'ami', device: 'sda1' },
      { virtual: 'root', device: rootDevice },
    ],
    ...{ key: image.key, userCertificatePem: identity.certificate, cloudCertificatePem: identity.certificate },
    signingKey: identity.privateKey,
  })
  const manifestName = `${image.packed.name}.manifest.xml`
  await put(manifestName, bytesOf(document))
  await state.transaction(async (tx) => {
    if (await tx.images.named(accountId, region, image.name)) return
    await tx.images.insert(
      {
        ...{ id: newId('image', random), accountId, ownerAlias, region, name: image.name },
        ...{ description: image.description, state: 'available', stateReasonCode: null, stateReasonMessage: null },
        ...{ architecture: image.architecture, rootDeviceName: rootDevice, rootDeviceType: 'instance-store' },
        ...{ virtualizationType: 'hvm', enaSupport: 1, sriovNetSupport: 'simple', bootMode: 'legacy-bios' },
        ...{ imdsSupport: null, tpmSupport: null, platformDetails: 'Linux/UNIX' },
        ...{ sourceInstanceId: null, sourceImageId: null, sourceImageRegion: null },
        imageLocation: `${bucket}/${image.name}/${manifestName}`,
        manifestHash: createHash('sha256').update(document).digest('hex'),
        ...{ bundleBytes: image.packed.bundledSizeBytes, rootBytes: image.packed.sizeBytes },
        ...{ createdAt: clock.now(), deregisteredAt: null },
      },
      [],
      ['all'],
    )
  })
}

/** Names of buckets are for all accounts: this one nobody can take before the region opens. */
function bucketOf(region: string, { privateKey }: CloudIdentity): string {
  const secret = privateKey.export({ type: 'pkcs8', format: 'der' })
  return `kiln-images-${region}-${createHash('sha256').update(`public ${region} `).update(secret).digest('hex').slice(0, 12)}`
}

async function* bytesOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
