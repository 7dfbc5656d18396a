/** Objects: written, read, copied, removed. */
import type { StoredObject } from '../../../cloud/buckets/object-facts.ts'
import { type OpenObject, preconditionFailed } from '../../../cloud/buckets/objects.ts'
import { KilnError } from '../../../lib/errors.ts'
import { element, textElement } from '../../xml-writer.ts'
import { copySourceOf } from '../copy-source.ts'
import { invalidArgument } from '../errors.ts'
import type { S3Handlers } from '../handler.ts'
import {
  describedObject,
  objectHeaders,
  quoted,
  readCondition,
  requestedRange,
  withoutQuotes,
  writeCondition,
} from '../object-headers.ts'
import { readExact } from '../parameters.ts'
import type { S3Request } from '../request.ts'
import { headerOf, readWhole, uploadBody } from '../upload-body.ts'
import { childrenOf, isoTime, malformedXml, parseXml, textOf, xmlAnswer } from '../xml.ts'

const deletedMax = 1000

export const objectHandlers = {
  async PutObject(request, cloud) {
    const { requester, bucket, key, headers } = request
    const { content, md5, checksum } = uploadBody(request)
    const object = await cloud.objects.put(
      requester,
      { bucket, key },
      { ...describedObject(headers), ...writeCondition(headers), content, md5, checksum },
    )
    return { status: 200, headers: { etag: quoted(object.etag), ...checksumHeaders(object) }, body: '' }
  },

  async CopyObject(request, cloud) {
    const { requester, bucket, key, headers } = request
    const source = await copySourceOf(request, cloud)
    const directive = headers.get('x-amz-metadata-directive') ?? 'COPY'
    if (directive !== 'COPY' && directive !== 'REPLACE') throw invalidArgument('Unknown metadata directive.')
    if (source.bucket === bucket && source.key === key && directive === 'COPY') {
      throw new KilnError(
        'InvalidRequest',
        'This copy request is illegal because it is trying to copy an object to itself without changing its metadata.',
      )
    }
    const described = describedObject(headers)
    const { headers: kept, metadata } = directive === 'COPY' ? source : described
    const description = { ...described, ...writeCondition(headers), headers: kept!, metadata: metadata! }
    const object = await cloud.objects.copy(requester, source, { bucket, key }, description)
    return xmlAnswer('CopyObjectResult', [
      textElement('LastModified', isoTime(object.modifiedAtMs)),
      textElement('ETag', quoted(object.etag)),
      ...checksumXml(object),
    ])
  },

  async HeadObject(request, cloud) {
    const { requester, bucket, key, query, headers } = request
    checkVersion(request)
    if (query.has('partNumber')) {
      const open = await cloud.objects.open(requester, { bucket, key })
      await open.close()
      return headAnswer(request, open.object, partOf(request, open))
    }
    const object = await cloud.objects.head(requester, { bucket, key })
    return headAnswer(request, object, requestedRange(headers.get('range'), object.sizeBytes))
  },

  async GetObject(request, cloud) {
    const { requester, bucket, key, query, headers } = request
    checkVersion(request)
    const open = await cloud.objects.open(requester, { bucket, key })
    try {
      const { object } = open
      const range = query.has('partNumber')
        ? partOf(request, open)
        : requestedRange(headers.get('range'), object.sizeBytes)
      const head = headAnswer(request, object, range)
      if (head.status === 304) {
        await open.close()
        return head
      }
      const { start, end } = range ?? { start: 0, end: object.sizeBytes }
      return { ...head, body: { lengthBytes: end - start, content: open.read({ start, end }) } }
    } catch (error) {
      await open.close()
      throw error
    }
  },

  async GetObjectAttributes({ requester, bucket, key, headers }, cloud) {
    const object = await cloud.objects.head(requester, { bucket, key })
    const wanted = (headers.get('x-amz-object-attributes') ?? '').split(',').map((name) => name.trim())
    if (wanted.includes('')) throw invalidArgument('x-amz-object-attributes is missing.')
    const attributes: Record<string, string> = {
      ETag: textElement('ETag', object.etag),
      Checksum: object.checksum ? element('Checksum', ...checksumXml(object)) : '',
      ObjectParts:
        object.partCount === null
          ? ''
          : element('ObjectParts', textElement('TotalPartsCount', String(object.partCount))),
      StorageClass: textElement('StorageClass', 'STANDARD'),
      ObjectSize: textElement('ObjectSize', String(object.sizeBytes)),
    }
    const unknown = wanted.find((name) => !Object.hasOwn(attributes, name))
    if (unknown !== undefined) throw invalidArgument(`Invalid attribute name specified: ${unknown.slice(0, 64)}.`)
    return xmlAnswer(
      'GetObjectAttributesResponse',
      wanted.map((name) => attributes[name]!),
      { 'last-modified': new Date(object.modifiedAtMs).toUTCString() },
    )
  },

  async DeleteObject(request, cloud) {
    const { requester, bucket, key, headers } = request
    checkVersion(request)
    const ifMatch = headers.get('if-match')
    await cloud.objects.remove(
      requester,
      { bucket, key },
      ifMatch === undefined ? {} : { ifMatch: withoutQuotes(ifMatch) },
    )
    return { status: 204, body: '' }
  },

  async DeleteObjects(request, cloud) {
    const { headers, requester, bucket } = request
    if (!headers.has('content-md5') && ![...headers.keys()].some((name) => /^x-amz-(checksum|trailer)/.test(name))) {
      throw new KilnError('InvalidRequest', 'Missing required header for this request: Content-MD5 or x-amz-checksum-')
    }
    const document = parseXml(await readWhole(request), 'Delete')
    const named = childrenOf(document, 'Object').map((object) => ({
      key: textOf(object, 'Key') ?? '',
      versionId: textOf(object, 'VersionId'),
    }))
    const isWrong = ({ key }: { key: string }) => key === '' || key.includes('\0')
    if (named.length === 0 || named.length > deletedMax || named.some(isWrong)) {
      throw malformedXml(`it must name 1 to ${deletedMax} keys`)
    }
    if (named.some(({ versionId }) => versionId !== undefined && versionId !== 'null')) throw noSuchVersion()
    await cloud.objects.removeAll(
      requester,
      bucket,
      named.map(({ key }) => key),
    )
    const isQuiet = textOf(document, 'Quiet') === 'true'
    return xmlAnswer('DeleteResult', isQuiet ? [] : named.map(({ key }) => element('Deleted', textElement('Key', key))))
  },
} satisfies Partial<S3Handlers>

/** 200, 206 or 304, with no body yet. Throws `PreconditionFailed`. */
function headAnswer(request: S3Request, object: StoredObject, range: { start: number; end: number } | undefined) {
  const condition = readCondition(request.headers, object)
  if (condition === 'failed') throw preconditionFailed('If-Match or If-Unmodified-Since')
  const isWhole = !range || range.end - range.start === object.sizeBytes
  const headers = { ...objectHeaders(request, object), ...(isWhole ? readChecksumHeaders(request, object) : {}) }
  const shared = { isCacheable: true, headers }
  const nothing = (lengthBytes: number) => ({ lengthBytes, content: noBytes() })
  if (condition === 'not-modified') return { ...shared, status: 304, body: nothing(0) }
  if (!range) return { ...shared, status: 200, body: nothing(object.sizeBytes) }
  const contentRange = `bytes ${range.start}-${range.end - 1}/${object.sizeBytes}`
  return {
    ...shared,
    status: 206,
    headers: { ...headers, 'content-range': contentRange },
    body: nothing(range.end - range.start),
  }
}

/** When it is asked for. Clients compare what they read with it, so it comes with the whole alone. */
function readChecksumHeaders({ headers }: S3Request, object: StoredObject): Record<string, string> {
  return headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' ? checksumHeaders(object) : {}
}

async function* noBytes(): AsyncGenerator<Buffer> {}

/** The bytes of one part; of an object of one piece, all of it is part 1. Throws `InvalidArgument`, `InvalidPartNumber`. */
function partOf({ query, headers }: S3Request, { object, partSizes }: OpenObject) {
  if (headers.has('range')) throw invalidArgument('Cannot specify both Range header and partNumber query parameter.')
  const number = readExact(query.get('partNumber'), 'Part number', { min: 1, max: 10_000 })
  const sizes = object.partCount === null ? [object.sizeBytes] : partSizes
  if (number > sizes.length) throw new KilnError('InvalidPartNumber', 'The requested partnumber is not satisfiable')
  const start = sizes.slice(0, number - 1).reduce((sum, size) => sum + size, 0)
  const end = start + sizes[number - 1]!
  return start === end ? undefined : { start, end }
}

/** Buckets keep one version, whose id is `null`. */
function checkVersion({ query }: S3Request): void {
  const version = query.get('versionId')
  if (version !== undefined && version !== 'null') throw noSuchVersion()
}

const noSuchVersion = () => invalidArgument('Invalid version id specified: buckets keep one version of an object.')

export function checksumHeaders({ checksum }: Pick<StoredObject, 'checksum'>): Record<string, string> {
  return checksum ? { [headerOf(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type } : {}
}

export function checksumXml({ checksum }: Pick<StoredObject, 'checksum'>): string[] {
  if (!checksum) return []
  return [textElement(`Checksum${checksum.algorithm}`, checksum.value), textElement('ChecksumType', checksum.type)]
}
