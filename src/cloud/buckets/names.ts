/** What buckets and objects may be called. Source: "General purpose bucket naming rules" in the S3 user guide. */
import { isIP } from 'node:net'
import { KilnError } from '../../lib/errors.ts'

const keyBytesMax = 1024
const reservedPrefixes = ['xn--', 'sthree-', 'amzn-s3-demo-']
const reservedSuffixes = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3']

export function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !name.includes('..') &&
    isIP(name) === 0 &&
    !reservedPrefixes.some((prefix) => name.startsWith(prefix)) &&
    !reservedSuffixes.some((suffix) => name.endsWith(suffix))
  )
}

/** Throws `InvalidBucketName`. */
export function checkBucketName(name: string): void {
  if (!isBucketName(name)) throw new KilnError('InvalidBucketName', 'The specified bucket is not valid.')
}

/** Throws `KeyTooLongError`, or `InvalidArgument` for what no XML listing and no database could carry. */
export function checkKey(key: string): void {
  if (Buffer.byteLength(key) > keyBytesMax) throw new KilnError('KeyTooLongError', 'Your key is too long.')
  if (key === '') throw new KilnError('InvalidArgument', 'The key is empty.')
  if (key.includes('\0') || !key.isWellFormed()) {
    throw new KilnError('InvalidArgument', 'The key holds a NUL or is not valid UTF-8.')
  }
}
