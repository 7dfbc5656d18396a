/** Source: "Configure the Instance Metadata Service options". */
import { KilnError } from '../../lib/errors.ts'
import type { Instance } from '../../state/instances.ts'

export type MetadataOptions = Pick<
  Instance,
  'httpTokens' | 'httpEndpoint' | 'httpPutResponseHopLimit' | 'instanceMetadataTags'
>

export const defaultMetadataOptions: MetadataOptions = {
  httpTokens: 'optional',
  httpEndpoint: 'enabled',
  httpPutResponseHopLimit: 1,
  instanceMetadataTags: 'disabled',
}

/** What an instance of the image has unless somebody says otherwise. Source: ImdsSupport of RegisterImage. */
function imageMetadataOptions(image: { imdsSupport: string | null }): MetadataOptions {
  if (image.imdsSupport !== 'v2.0') return defaultMetadataOptions
  return { ...defaultMetadataOptions, httpTokens: 'required', httpPutResponseHopLimit: 2 }
}

export type MetadataWish = { [Name in keyof MetadataOptions]?: MetadataOptions[Name] | undefined }

/**
 * What a new instance has: what its launch says, else what its account says, else its image. Source: "Order of precedence
 * for instance metadata options" in the EC2 user guide.
 */
export function launchMetadataOptions(
  image: { imdsSupport: string | null },
  account: { [Name in keyof MetadataOptions]: MetadataOptions[Name] | null },
  wish: MetadataWish,
): MetadataOptions {
  const set = Object.fromEntries(Object.entries(account).filter(([, value]) => value !== null))
  return metadataOptions({ ...imageMetadataOptions(image), ...set }, wish)
}

export function metadataOptions(base: MetadataOptions, wish: MetadataWish): MetadataOptions {
  const given = Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== undefined))
  const options = { ...base, ...given }
  const hops = options.httpPutResponseHopLimit
  if (!Number.isInteger(hops) || hops < 1 || hops > 64) {
    throw new KilnError(
      'InvalidParameterValue',
      `MetadataOptions.HttpPutResponseHopLimit is ${hops}: it must be from 1 to 64`,
    )
  }
  return options
}
