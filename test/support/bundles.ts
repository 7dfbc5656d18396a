/** Bundles in a bucket of the cloud under test: made as the tools of the format do, and put there by the official client. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { CreateBucketCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { createBundle, sealManifest } from '../../src/bundles/bundle.ts'
import { createIdentity, type Identity, readPrivateKey } from '../../src/bundles/identity.ts'
import { type BundleManifest, type BundlePart, partBytes } from '../../src/bundles/manifest.ts'

export interface MadeBundle {
  manifest: BundleManifest
  document: string
  parts: Map<string, Buffer>
}

/** The same image every time: something that does not compress, and a hole. */
export function rootImage(bytes: number, seed = 7): Buffer {
  const image = Buffer.alloc(bytes)
  let value = seed
  for (let at = 0; at < bytes / 2; at += 4) {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    image.writeUInt32LE(value, at)
  }
  return image
}

export const newIdentity = (serialNumber: string): Promise<Identity> =>
  createIdentity({ commonName: 'user', serialNumber, nowMs: 0 })

export async function makeBundle(about: {
  image: Buffer
  accountId: string
  signer: Identity
  cloudCertificate: string
  name?: string
  blockDeviceMapping?: BundleManifest['blockDeviceMapping']
}): Promise<MadeBundle> {
  const { image, signer } = about
  const parts = new Map<string, Buffer>()
  async function* bytes() {
    for (let at = 0; at < image.length; at += 1024 * 1024) yield image.subarray(at, at + 1024 * 1024)
  }
  const made = await createBundle({
    image: { sizeBytes: image.length, bytes: bytes() },
    name: about.name ?? 'image',
    user: about.accountId,
    bundler: { name: 'test', version: '1', release: '0' },
    architecture: 'x86_64',
    ...(about.blockDeviceMapping && { blockDeviceMapping: about.blockDeviceMapping }),
    key: { key: randomBytes(16), iv: randomBytes(16) },
    userCertificatePem: signer.certificate,
    cloudCertificatePem: about.cloudCertificate,
    signingKey: readPrivateKey(signer.privateKey),
    writePart: async (filename, part) => void parts.set(filename, part),
  })
  return { ...made, parts }
}

/** The same parts under a manifest that is right in all but the key, which is another. */
export function resealed(
  { manifest, parts }: MadeBundle,
  { signer, cloudCertificate }: { signer: Identity; cloudCertificate: string },
): MadeBundle {
  const sealed = sealManifest(manifest.image, {
    ...{ ...manifest, user: manifest.image.user, key: { key: randomBytes(16), iv: randomBytes(16) } },
    ...{ userCertificatePem: signer.certificate, cloudCertificatePem: cloudCertificate },
    signingKey: readPrivateKey(signer.privateKey),
  })
  return { ...sealed, parts }
}

/** Puts the bundle into `BUCKET/PREFIX/`; resolves to its image location. */
export async function putBundle(
  s3: S3Client,
  { bucket, prefix }: { bucket: string; prefix: string },
  { document, parts, manifest }: MadeBundle,
): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket: bucket })).catch((error: Error) => {
    if (error.name !== 'BucketAlreadyOwnedByYou') throw error
  })
  const put = (name: string, Body: Buffer | string) =>
    s3.send(new PutObjectCommand({ Bucket: bucket, Key: `${prefix}/${name}`, Body }))
  for (const [filename, bytes] of parts) await put(filename, bytes)
  await put(`${manifest.image.name}.manifest.xml`, document)
  return `${bucket}/${prefix}/${manifest.image.name}.manifest.xml`
}

/** A bundle around any packed bytes: digests of parts, keys and signature are right, what it says of itself need not be. */
export function bundleAround(
  packed: Buffer,
  about: { sizeBytes: number; digestSha1: string; accountId: string; signer: Identity; cloudCertificate: string },
): MadeBundle {
  const key = { key: randomBytes(16), iv: randomBytes(16) }
  const cipher = createCipheriv('aes-128-cbc', key.key, key.iv)
  const sealed = Buffer.concat([cipher.update(packed), cipher.final()])
  const parts = new Map<string, Buffer>()
  const listed: BundlePart[] = []
  for (let at = 0, index = 0; at < sealed.length; at += partBytes, index += 1) {
    const bytes = sealed.subarray(at, at + partBytes)
    const filename = `image.part.${String(index).padStart(2, '0')}`
    parts.set(filename, bytes)
    listed.push({ index, filename, digestSha1: createHash('sha1').update(bytes).digest('hex') })
  }
  const { sizeBytes, digestSha1, accountId: user, signer } = about
  const made = sealManifest(
    { name: 'image', digestSha1, sizeBytes, bundledSizeBytes: sealed.length, parts: listed },
    {
      ...{ user, key, architecture: 'x86_64', bundler: { name: 'test', version: '1', release: '0' } },
      ...{ userCertificatePem: signer.certificate, cloudCertificatePem: about.cloudCertificate },
      signingKey: readPrivateKey(signer.privateKey),
    },
  )
  return { ...made, parts }
}
