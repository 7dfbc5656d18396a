/** What an image has whose root lies in a bundle; all null for others. */
export interface BundleColumns {
  /** `BUCKET/PATH` of the bundle's manifest. */
  imageLocation: string | null
  /** SHA-256 of that manifest as it was registered; hexadecimal. */
  manifestHash: string | null
  /** Of all parts together. */
  bundleBytes: number | null
  /** Of the root that they hold. */
  rootBytes: number | null
}
