/**
 * What buckets can have on AWS and have not here: clients ask for it all the time, Terraform before everything. Each gets
 * the answer that S3 gives of a bucket without.
 */
import { type ErrorCode, KilnError } from '../../../lib/errors.ts'
import { element, textElement } from '../../xml-writer.ts'
import { notImplemented } from '../errors.ts'
import type { S3Handlers } from '../handler.ts'
import { type BucketProperty, bucketPropertyOf } from '../operations.ts'
import { xmlAnswer } from '../xml.ts'

const missing: Partial<Record<BucketProperty, [ErrorCode, string]>> = {
  cors: ['NoSuchCORSConfiguration', 'The CORS configuration does not exist'],
  encryption: [
    'ServerSideEncryptionConfigurationNotFoundError',
    'The server side encryption configuration was not found',
  ],
  lifecycle: ['NoSuchLifecycleConfiguration', 'The lifecycle configuration does not exist'],
  'object-lock': ['ObjectLockConfigurationNotFoundError', 'Object Lock configuration does not exist for this bucket'],
  policy: ['NoSuchBucketPolicy', 'The bucket policy does not exist'],
  policyStatus: ['NoSuchBucketPolicy', 'The bucket policy does not exist'],
  publicAccessBlock: ['NoSuchPublicAccessBlockConfiguration', 'The public access block configuration was not found'],
  replication: ['ReplicationConfigurationNotFoundError', 'The replication configuration was not found'],
  tagging: ['NoSuchTagSet', 'The TagSet does not exist'],
  website: ['NoSuchWebsiteConfiguration', 'The specified bucket does not have a website configuration'],
}

const present: Partial<Record<BucketProperty, () => ReturnType<typeof xmlAnswer>>> = {
  accelerate: () => xmlAnswer('AccelerateConfiguration', []),
  logging: () => xmlAnswer('BucketLoggingStatus', []),
  notification: () => xmlAnswer('NotificationConfiguration', []),
  // The writer of an object owns it, and ACLs count.
  ownershipControls: () =>
    xmlAnswer('OwnershipControls', [element('Rule', textElement('ObjectOwnership', 'ObjectWriter'))]),
  requestPayment: () => xmlAnswer('RequestPaymentConfiguration', [textElement('Payer', 'BucketOwner')]),
  versioning: () => xmlAnswer('VersioningConfiguration', []),
}

/** To take away what is never there changes nothing. */
const removable: readonly BucketProperty[] = [
  ...(['cors', 'encryption', 'lifecycle', 'policy', 'publicAccessBlock', 'replication', 'tagging', 'website'] as const),
]

export const propertyHandlers = {
  async GetBucketProperty(request, cloud) {
    const property = bucketPropertyOf(request)!
    await cloud.buckets.own(request.requester, request.bucket)
    const [code, message] = missing[property] ?? []
    if (code !== undefined) throw new KilnError(code, message!)
    return present[property]!()
  },

  async DeleteBucketProperty(request, cloud) {
    const property = bucketPropertyOf(request)!
    if (!removable.includes(property)) throw notImplemented(`The operation DELETE ${property}`)
    await cloud.buckets.own(request.requester, request.bucket)
    return { status: 204, body: '' }
  },

  async GetObjectTagging({ requester, bucket, key }, cloud) {
    const { tags } = await cloud.objects.head(requester, { bucket, key })
    const listed = tags.map((tag) => element('Tag', textElement('Key', tag.key), textElement('Value', tag.value)))
    return xmlAnswer('Tagging', [element('TagSet', ...listed)])
  },

  async DeleteObjectTagging({ requester, bucket, key }, cloud) {
    await cloud.objects.removeTags(requester, { bucket, key })
    return { status: 204, body: '' }
  },
} satisfies Partial<S3Handlers>
