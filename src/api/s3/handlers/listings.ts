/** Keys of a bucket, page by page. */
import type { ListedObject, ObjectListing } from '../../../cloud/buckets/object-listing.ts'
import type { HttpAnswer } from '../../service.ts'
import { element, textElement } from '../../xml-writer.ts'
import { ownerXml } from '../access-control.ts'
import { invalidArgument } from '../errors.ts'
import type { S3Cloud, S3Handlers } from '../handler.ts'
import { quoted } from '../object-headers.ts'
import { keyWriter, readNumber } from '../parameters.ts'
import type { S3Request } from '../request.ts'
import { isoTime, xmlAnswer } from '../xml.ts'

const pageMax = 1000

export const listingHandlers = {
  async ListObjects(request, cloud) {
    const { query } = request
    const marker = query.get('marker') ?? ''
    const { listing, shared, write } = await list(request, cloud, { after: marker, isAfterListed: true })
    const { next } = listing
    return answer(request, listing, 'ListBucketResult', [
      ...shared,
      textElement('Marker', write(marker)),
      // Without a delimiter the last key serves.
      ...(next !== null && query.get('delimiter') ? [textElement('NextMarker', write(next))] : []),
      ...listing.objects.map((object) => contentsXml(object, write, true)),
    ])
  },

  async ListObjectsV2(request, cloud) {
    const { query } = request
    const token = query.get('continuation-token')
    const startAfter = query.get('start-after') ?? ''
    const start =
      token === undefined
        ? { after: startAfter, isAfterListed: false }
        : { after: readToken(token), isAfterListed: true }
    const { listing, shared, write } = await list(request, cloud, start)
    const { objects, prefixes, next } = listing
    return answer(request, listing, 'ListBucketResult', [
      ...shared,
      textElement('KeyCount', String(objects.length + prefixes.length)),
      ...(token === undefined ? [] : [textElement('ContinuationToken', token)]),
      ...(startAfter === '' ? [] : [textElement('StartAfter', write(startAfter))]),
      ...(next === null ? [] : [textElement('NextContinuationToken', writeToken(next))]),
      ...objects.map((object) => contentsXml(object, write, query.get('fetch-owner') === 'true')),
    ])
  },

  /** Buckets keep one version of an object, which has the id `null`, as in a bucket whose versioning was never on. */
  async ListObjectVersions(request, cloud) {
    const keyMarker = request.query.get('key-marker') ?? ''
    const { listing, shared, write } = await list(request, cloud, { after: keyMarker, isAfterListed: true })
    const { next } = listing
    return answer(request, listing, 'ListVersionsResult', [
      ...shared,
      textElement('KeyMarker', write(keyMarker)),
      element('VersionIdMarker'),
      ...(next === null ? [] : [textElement('NextKeyMarker', write(next)), textElement('NextVersionIdMarker', 'null')]),
      ...listing.objects.map((object) =>
        element(
          'Version',
          textElement('VersionId', 'null'),
          textElement('IsLatest', 'true'),
          ...factsXml(object, write),
          ownerXml(object.ownerId),
        ),
      ),
    ])
  },
} satisfies Partial<S3Handlers>

async function list(request: S3Request, cloud: S3Cloud, start: { after: string; isAfterListed: boolean }) {
  const { requester, bucket, query } = request
  const write = keyWriter(query)
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  for (const text of [prefix, delimiter, start.after]) {
    if (!text.isWellFormed() || text.includes('\0')) throw invalidArgument('A parameter of the listing holds a NUL.')
  }
  const limit = readNumber(query, 'max-keys', { min: 0, max: pageMax, usual: pageMax })
  const listing = await cloud.objects.list(requester, bucket, { prefix, delimiter, limit, ...start })
  const shared = [
    textElement('Name', bucket),
    textElement('Prefix', write(prefix)),
    textElement('MaxKeys', String(limit)),
    ...(delimiter === '' ? [] : [textElement('Delimiter', write(delimiter))]),
    ...(query.get('encoding-type') ? [textElement('EncodingType', 'url')] : []),
    textElement('IsTruncated', String(listing.next !== null)),
  ]
  return { listing, shared, write }
}

function answer(request: S3Request, { prefixes }: ObjectListing, root: string, content: string[]): HttpAnswer {
  const write = keyWriter(request.query)
  const common = prefixes.map((prefix) => element('CommonPrefixes', textElement('Prefix', write(prefix))))
  return xmlAnswer(root, [...content, ...common])
}

function contentsXml(object: ListedObject, write: (key: string) => string, withOwner: boolean): string {
  return element('Contents', ...factsXml(object, write), ...(withOwner ? [ownerXml(object.ownerId)] : []))
}

function factsXml({ key, modifiedAtMs, etag, sizeBytes, checksum }: ListedObject, write: (key: string) => string) {
  return [
    textElement('Key', write(key)),
    textElement('LastModified', isoTime(modifiedAtMs)),
    textElement('ETag', quoted(etag)),
    ...(checksum
      ? [textElement('ChecksumAlgorithm', checksum.algorithm), textElement('ChecksumType', checksum.type)]
      : []),
    textElement('Size', String(sizeBytes)),
    textElement('StorageClass', 'STANDARD'),
  ]
}

/** A token says after which key or common prefix its page begins, and lasts for ever. */
const tokenPrefix = '1.'
const writeToken = (next: string) => tokenPrefix + Buffer.from(next).toString('base64url')

function readToken(token: string): string {
  const bytes = Buffer.from(token.slice(tokenPrefix.length), 'base64url')
  const text = bytes.toString()
  if (token.startsWith(tokenPrefix) && bytes.length > 0 && writeToken(text) === token) return text
  throw invalidArgument('The continuation token provided is incorrect')
}
