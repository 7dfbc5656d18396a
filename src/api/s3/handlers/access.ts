/** Who may do what: the ACLs of buckets and objects. */
import type { AclRequest } from '../../../cloud/buckets/acl.ts'
import { KilnError } from '../../../lib/errors.ts'
import { aclOfXml, aclXml, requestedAcl } from '../access-control.ts'
import type { S3Handlers } from '../handler.ts'
import type { S3Request } from '../request.ts'
import { readWhole } from '../upload-body.ts'
import { xmlAnswer } from '../xml.ts'

export const accessHandlers = {
  async GetBucketAcl({ requester, bucket }, cloud) {
    const { acl } = await cloud.buckets.find(requester, bucket, 'READ_ACP')
    return xmlAnswer('AccessControlPolicy', aclXml(acl))
  },

  async PutBucketAcl(request, cloud) {
    await cloud.buckets.setAcl(request.requester, request.bucket, await newAcl(request))
    return { status: 200, body: '' }
  },

  async GetObjectAcl({ requester, bucket, key }, cloud) {
    const { acl } = await cloud.objects.head(requester, { bucket, key }, 'READ_ACP')
    return xmlAnswer('AccessControlPolicy', aclXml(acl))
  },

  async PutObjectAcl(request, cloud) {
    const { requester, bucket, key } = request
    await cloud.objects.setAcl(requester, { bucket, key }, await newAcl(request))
    return { status: 200, body: '' }
  },
} satisfies Partial<S3Handlers>

async function newAcl(request: S3Request): Promise<AclRequest> {
  const inHeaders = requestedAcl(request.headers)
  const body = await readWhole(request)
  if (inHeaders && body.length > 0) {
    throw new KilnError('UnexpectedContent', 'This request does not support content when headers give the ACL.')
  }
  if (inHeaders) return inHeaders
  if (body.length > 0) return aclOfXml(body)
  throw new KilnError('MissingSecurityHeader', 'Your request was missing a required header: x-amz-acl, or a body.')
}
