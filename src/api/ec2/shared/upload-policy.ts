/**
 * Who lets the cloud write a bundle, and where: the `Storage.S3` of a BundleInstance. Source: S3Storage in the EC2 API
 * reference, and "POST policy" in the S3 API reference for what a policy says.
 */
import type { S3Storage } from '@aws-sdk/client-ec2'
import { isKilnError, KilnError } from '../../../lib/errors.ts'
import { callerOfKey } from '../../http/accounts.ts'
import { checkPolicy, type PostPolicy, readPolicy } from '../../s3/post-policy.ts'
import { isSignatureOf } from '../../signature/version2.ts'
import type { RequestContext } from '../handler.ts'

export interface UploadRight {
  /** The account that writes. */
  writerId: string
  /** Null without a policy: then the caller's own request is what allows it. */
  policyExpiresAtMs: number | null
}

/** What clients call the ACL that lets the cloud read a bundle; it is `aws-exec-read` in every case. */
const bundleAcls = ['ec2-bundle-read', 'ec2-bundled-image', 'aws-exec-read']

interface Asked extends Pick<RequestContext, 'accountId' | 'auth' | 'guest'> {
  bucket: string
  prefix: string
}

/** Throws `InvalidParameterValue`, `MissingParameter` or `SignatureDoesNotMatch`, naming the parameter. */
export async function readUploadRight(storage: S3Storage, asked: Asked): Promise<UploadRight> {
  const { UploadPolicy: bytes, UploadPolicySignature: signature, AWSAccessKeyId: accessKeyId } = storage
  if (!bytes?.length) return { writerId: asked.accountId, policyExpiresAtMs: null }
  const base64 = Buffer.from(bytes).toString('base64')
  const writerId = await signerOf(base64, signature ?? '', accessKeyId ?? '', asked)
  try {
    const policy = readPolicy(base64)
    checkKeys(policy, asked)
    return { writerId, policyExpiresAtMs: policy.expiresAtMs }
  } catch (error) {
    if (!isKilnError(error)) throw error
    throw invalid('UploadPolicy', error.message)
  }
}

async function signerOf(
  base64: string,
  signature: string,
  accessKeyId: string,
  { auth, guest }: Asked,
): Promise<string> {
  if (!accessKeyId) throw new KilnError('MissingParameter', 'A policy needs the parameter Storage.S3.AWSAccessKeyId')
  if (!/^[\w.-]{1,128}$/.test(accessKeyId)) throw invalid('AWSAccessKeyId', 'it is no access key')
  const use = { sessionToken: undefined, service: 's3', region: '' }
  if (auth.mode === 'open') {
    return (await callerOfKey(accessKeyId, use, auth, { guest, refusal: 'UnauthorizedOperation' })).accountId
  }
  const key = await auth.lookupKey(accessKeyId, use)
  if (!key) throw invalid('AWSAccessKeyId', 'there is no such key')
  if (isSignatureOf(base64, signature, key.secret)) return key.accountId
  throw new KilnError(
    'SignatureDoesNotMatch',
    'The signature of the policy does not match the one we calculated (Storage.S3.UploadPolicySignature).',
  )
}

/** The policy must allow every object that a bundle has. When it ends is for the cloud to see to, as long as it writes. */
function checkKeys(policy: PostPolicy, { bucket, prefix }: Asked): void {
  const acl = policy.conditions.find(
    (condition) => condition.kind !== 'content-length-range' && condition.field === 'acl',
  )
  const isKnown = (value: string) => bundleAcls.find((name) => name === value) ?? bundleAcls[0]!
  const fields = { bucket, acl: acl && 'value' in acl ? isKnown(acl.value) : undefined }
  for (const key of [`${prefix}.manifest.xml`, `${prefix}.part.00`]) {
    const given = Object.entries({ ...fields, key }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
    checkPolicy(policy, new Map(given), Number.NEGATIVE_INFINITY)
  }
}

const invalid = (parameter: keyof S3Storage, why: string) =>
  new KilnError('InvalidParameterValue', `The parameter Storage.S3.${parameter} is invalid: ${why}`)
