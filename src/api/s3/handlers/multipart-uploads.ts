/** Objects that come in parts. */
import { usualType } from '../../../cloud/buckets/checksums.ts'
import {
  type Completion,
  type Part,
  partNumberMax,
  type Upload,
  type UploadChecksum,
} from '../../../cloud/buckets/multipart-uploads.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { element, textElement } from '../../xml-writer.ts'
import { ownerXml } from '../access-control.ts'
import { copySourceOf } from '../copy-source.ts'
import { invalidArgument } from '../errors.ts'
import type { S3Handlers } from '../handler.ts'
import { describedObject, quoted, requestedRange, withoutQuotes, writeCondition } from '../object-headers.ts'
import { keyWriter, readExact, readNumber } from '../parameters.ts'
import type { S3Request } from '../request.ts'
import { algorithmOf, givenChecksum, readWhole, uploadBody } from '../upload-body.ts'
import { childrenOf, isoTime, malformedXml, parseXml, textOf, type XmlTree, xmlAnswer } from '../xml.ts'
import { checksumHeaders, checksumXml } from './objects.ts'

const pageMax = 1000

export const multipartHandlers = {
  async CreateMultipartUpload({ requester, bucket, key, headers }, cloud) {
    const checksum = uploadChecksum(headers)
    const description = { ...describedObject(headers), checksum }
    const { id } = await cloud.multipartUploads.create(requester, { bucket, key }, description)
    const about = checksum && {
      'x-amz-checksum-algorithm': checksum.algorithm,
      'x-amz-checksum-type': checksum.type,
    }
    const content = [textElement('Bucket', bucket), textElement('Key', key), textElement('UploadId', id)]
    return xmlAnswer('InitiateMultipartUploadResult', content, about ?? {})
  },

  async UploadPart(request, cloud) {
    const { requester, bucket, key } = request
    const at = partPlace(request)
    const { content, md5, checksum } = uploadBody(request)
    const part = await cloud.multipartUploads.putPart(requester, { bucket, key }, at, { content, md5, checksum })
    return { status: 200, headers: { etag: quoted(part.etag), ...checksumHeaders(part) }, body: '' }
  },

  async UploadPartCopy(request, cloud) {
    const { requester, bucket, key, headers } = request
    const at = partPlace(request)
    const source = await copySourceOf(request, cloud)
    const rangeText = headers.get('x-amz-copy-source-range')
    const range = rangeText === undefined ? undefined : sourceRange(rangeText, source.sizeBytes)
    const { start, end } = range ?? { start: 0, end: source.sizeBytes }
    if (end - start > limits.objectPartBytes) throw invalidArgument('The part to copy is larger than 5 GiB.')
    const open = await cloud.objects.open(requester, source)
    try {
      if (open.object.id !== source.id) throw new KilnError('PreconditionFailed', 'The source was just replaced.')
      const content = open.read({ start, end })
      const part = await cloud.multipartUploads.putPart(requester, { bucket, key }, at, { content })
      return xmlAnswer('CopyPartResult', [
        textElement('LastModified', isoTime(part.modifiedAtMs)),
        textElement('ETag', quoted(part.etag)),
        ...checksumXml(part),
      ])
    } finally {
      await open.close()
    }
  },

  async CompleteMultipartUpload(request, cloud) {
    const { requester, bucket, key, query, headers } = request
    const completion = { ...readCompletion(headers, await readDocument(request)), ...writeCondition(headers) }
    const uploadId = query.get('uploadId')!
    const object = await cloud.multipartUploads.complete(requester, { bucket, key }, uploadId, completion)
    return xmlAnswer('CompleteMultipartUploadResult', [
      textElement('Location', `http://${headers.get('host') ?? 'localhost'}/${bucket}/${encodeURI(key)}`),
      textElement('Bucket', bucket),
      textElement('Key', key),
      textElement('ETag', quoted(object.etag)),
      ...checksumXml(object),
    ])
  },

  async AbortMultipartUpload({ requester, bucket, key, query }, cloud) {
    await cloud.multipartUploads.abort(requester, { bucket, key }, query.get('uploadId')!)
    return { status: 204, body: '' }
  },

  async ListParts({ requester, bucket, key, query }, cloud) {
    const write = keyWriter(query)
    const uploadId = query.get('uploadId')!
    const limit = readNumber(query, 'max-parts', { min: 1, max: pageMax, usual: pageMax })
    const afterNumber = readNumber(query, 'part-number-marker', { min: 0, max: partNumberMax, usual: 0 })
    const about = { afterNumber, limit }
    const found = await cloud.multipartUploads.listParts(requester, { bucket, key }, uploadId, about)
    const { upload, parts, isTruncated } = found
    return xmlAnswer('ListPartsResult', [
      textElement('Bucket', bucket),
      textElement('Key', write(key)),
      textElement('UploadId', uploadId),
      ownerXml(upload.ownerId, 'Initiator'),
      ownerXml(upload.ownerId),
      textElement('StorageClass', 'STANDARD'),
      textElement('PartNumberMarker', String(afterNumber)),
      // Only a list that goes on: the AWS SDK for JavaScript would follow one on the last page for ever.
      ...(isTruncated ? [textElement('NextPartNumberMarker', String(parts.at(-1)!.number))] : []),
      textElement('MaxParts', String(limit)),
      textElement('IsTruncated', String(isTruncated)),
      ...checksumKindXml(upload),
      ...parts.map(partXml),
    ])
  },

  async ListMultipartUploads({ requester, bucket, query }, cloud) {
    const write = keyWriter(query)
    const prefix = query.get('prefix') ?? ''
    if (query.get('delimiter')) throw invalidArgument('Kiln lists uploads without a delimiter.')
    const limit = readNumber(query, 'max-uploads', { min: 1, max: pageMax, usual: pageMax })
    const [afterKey, afterId] = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? '']
    const list = { prefix, afterKey, afterId: afterKey === '' ? '' : afterId, limit }
    const { uploads, isTruncated } = await cloud.multipartUploads.list(requester, bucket, list)
    const last = isTruncated ? uploads.at(-1) : undefined
    return xmlAnswer('ListMultipartUploadsResult', [
      textElement('Bucket', bucket),
      textElement('KeyMarker', write(afterKey)),
      textElement('UploadIdMarker', afterId),
      textElement('Prefix', write(prefix)),
      ...(last ? [textElement('NextKeyMarker', write(last.key)), textElement('NextUploadIdMarker', last.id)] : []),
      textElement('MaxUploads', String(limit)),
      textElement('IsTruncated', String(isTruncated)),
      ...uploads.map((upload) =>
        element(
          'Upload',
          textElement('Key', write(upload.key)),
          textElement('UploadId', upload.id),
          ownerXml(upload.ownerId, 'Initiator'),
          ownerXml(upload.ownerId),
          textElement('StorageClass', 'STANDARD'),
          textElement('Initiated', isoTime(upload.createdAtMs)),
          ...checksumKindXml(upload),
        ),
      ),
    ])
  },
} satisfies Partial<S3Handlers>

function uploadChecksum(headers: ReadonlyMap<string, string>): UploadChecksum | null {
  const named = headers.get('x-amz-checksum-algorithm')
  const type = headers.get('x-amz-checksum-type')
  if (named === undefined) {
    if (type === undefined) return null
    throw new KilnError('InvalidRequest', 'x-amz-checksum-type needs x-amz-checksum-algorithm.')
  }
  const algorithm = algorithmOf(named)
  if (type !== undefined && type !== 'FULL_OBJECT' && type !== 'COMPOSITE') {
    throw new KilnError('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.')
  }
  return { algorithm, type: type ?? usualType(algorithm) }
}

function partPlace({ query }: S3Request): { uploadId: string; partNumber: number } {
  const partNumber = readExact(query.get('partNumber'), 'Part number', { min: 1, max: partNumberMax })
  return { uploadId: query.get('uploadId')!, partNumber }
}

function sourceRange(text: string, sizeBytes: number): { start: number; end: number } {
  const form = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text)
  const isInside = form && Number(form[1]) <= Number(form[2]) && Number(form[2]) < sizeBytes
  if (isInside) return requestedRange(text, sizeBytes)!
  throw invalidArgument(
    `The x-amz-copy-source-range value must be of the form bytes=first-last within ${sizeBytes} bytes.`,
  )
}

async function readDocument(request: S3Request): Promise<XmlTree> {
  // A checksum header is of the object that is to be, not of this document.
  const headers = new Map([...request.headers].filter(([name]) => !name.startsWith('x-amz-checksum-')))
  return parseXml(await readWhole({ ...request, headers }), 'CompleteMultipartUpload', 'CompleteMultipartUploadRequest')
}

function readCompletion(headers: ReadonlyMap<string, string>, document: XmlTree): Omit<Completion, 'ifMatch'> {
  const named = childrenOf(document, 'Part')
  if (named.length === 0) throw malformedXml('it names no parts')
  if (named.length > partNumberMax) throw malformedXml(`it names more than ${partNumberMax} parts`)
  const size = headers.get('x-amz-mp-object-size')
  return {
    parts: named.map((part) => {
      const checksum = Object.keys(part).find((name) => name.startsWith('Checksum'))
      const number = textOf(part, 'PartNumber')?.trim() ?? ''
      const etag = textOf(part, 'ETag')
      if (etag === undefined || !/^\d{1,5}$/.test(number)) throw malformedXml('a part needs PartNumber and ETag')
      const value = checksum === undefined ? null : (textOf(part, checksum)?.trim() ?? null)
      return { number: Number(number), etag: withoutQuotes(etag), checksum: value }
    }),
    checksum: givenChecksum(headers) ?? null,
    sizeBytes: size === undefined ? null : readExact(size, 'x-amz-mp-object-size', { min: 0, max: 2 ** 50 }),
  }
}

function partXml(part: Part): string {
  return element(
    'Part',
    textElement('PartNumber', String(part.number)),
    textElement('LastModified', isoTime(part.modifiedAtMs)),
    textElement('ETag', quoted(part.etag)),
    textElement('Size', String(part.sizeBytes)),
    ...(part.checksum ? [textElement(`Checksum${part.checksum.algorithm}`, part.checksum.value)] : []),
  )
}

function checksumKindXml({ checksum }: Upload): string[] {
  if (!checksum) return []
  return [textElement('ChecksumAlgorithm', checksum.algorithm), textElement('ChecksumType', checksum.type)]
}
