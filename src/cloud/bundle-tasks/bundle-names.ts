/** What the objects of a bundle are called: PREFIX.part.00 …, PREFIX.manifest.xml, as the EC2 AMI tools name them. */
import { KilnError } from '../../lib/errors.ts'
import { checkKey } from '../buckets/names.ts'

export interface BundleNames {
  /** Of the keys: empty, or ending with a slash. */
  folder: string
  /** What the manifest calls the image. */
  image: string
  manifest: string
  part(index: number): string
}

export function bundleNames(prefix: string): BundleNames {
  const at = prefix.lastIndexOf('/') + 1
  const image = prefix.slice(at)
  return {
    folder: prefix.slice(0, at),
    image,
    manifest: `${image}.manifest.xml`,
    part: (index) => `${image}.part.${String(index).padStart(2, '0')}`,
  }
}

const imageMax = 128

/** Throws `InvalidParameterValue` for a prefix that no manifest can name its parts by. */
export function checkPrefix(prefix: string): void {
  const { image, folder, manifest } = bundleNames(prefix)
  if (image === '' || image.length > imageMax || /[\\\p{Cc}]/u.test(image)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${prefix.slice(0, 100)}) for parameter Storage.S3.Prefix is invalid: after its last slash come 1 to ${imageMax} characters`,
    )
  }
  checkKey(folder + manifest)
}
