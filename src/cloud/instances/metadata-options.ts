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

export function metadataOptions(base: MetadataOptions, wish: Partial<MetadataOptions>): MetadataOptions {
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
