/** Uploads by a form, which a policy allows. Source: "POST Object" in the S3 API reference. */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { callerOfKey } from '../../http/accounts.ts'
import { hmac, signingKey } from '../../signature/canonical.ts'
import { sameSignature } from '../../signature/verification.ts'
import { isSignatureOf } from '../../signature/version2.ts'
import { textElement } from '../../xml-writer.ts'
import { readForm } from '../form.ts'
import type { S3Edge, S3Handlers } from '../handler.ts'
import { describedObject, quoted } from '../object-headers.ts'
import { checkPolicy, readPolicy, withinLength } from '../post-policy.ts'
import type { S3Request } from '../request.ts'
import { xmlAnswer } from '../xml.ts'

type Fields = ReadonlyMap<string, string>

export const postHandlers = {
  async PostObject({ bucket, headers, stream, guest }, cloud, edge) {
    const form = await readForm(headers.get('content-type')!, stream.source)
    try {
      const key = (form.fields.get('key') ?? '').replace(/\$\{filename\}/g, () => form.fileName)
      const fields = new Map([...form.fields, ['bucket', bucket]])
      const document = fields.get('policy')
      // Without a policy anybody could write: no bucket here lets them.
      if (document === undefined) throw new KilnError('AccessDenied', 'The form needs a policy, and its signature.')
      const requester = await signerOf(fields, document, edge, guest)
      const policy = readPolicy(document)
      checkPolicy(policy, fields, edge.clock.now())
      const description = describedObject(headersOf(fields))
      const content = withinLength(policy, form.content, limits.objectPartBytes)
      const { etag } = await cloud.objects.put(requester, { bucket, key }, { ...description, content })
      return answer(fields, headers.get('host') ?? 'localhost', { bucket, key, etag })
    } finally {
      form.close()
    }
  },
} satisfies Partial<S3Handlers>

/** Fields stand for the headers of a PUT. */
function headersOf(fields: Fields): Map<string, string> {
  const headers = new Map([...fields].filter(([name]) => !name.startsWith('x-amz-checksum-')))
  const acl = fields.get('acl')
  if (acl !== undefined) headers.set('x-amz-acl', acl)
  return headers
}

/** Whose key signed the policy. Throws `AccessDenied`, `InvalidAccessKeyId`, `SignatureDoesNotMatch`. */
async function signerOf(fields: Fields, policy: string, { auth }: S3Edge, guest: S3Request['guest']): Promise<string> {
  const credential = fields.get('x-amz-credential')
  const [scopedKey = '', date = '', region = '', service = ''] = credential?.split('/') ?? []
  const accessKeyId = credential === undefined ? (fields.get('awsaccesskeyid') ?? '') : scopedKey
  if (!/^[\w.-]{1,128}$/.test(accessKeyId)) throw new KilnError('AccessDenied', 'The form names no access key.')
  const use = { sessionToken: fields.get('x-amz-security-token'), service: 's3', region }
  if (auth.mode === 'open') {
    return (await callerOfKey(accessKeyId, use, auth, { guest, refusal: 'AccessDenied' })).accountId
  }
  const key = await auth.lookupKey(accessKeyId, use)
  if (!key)
    throw new KilnError('InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.')
  const isSigned =
    credential === undefined
      ? isSignatureOf(policy, fields.get('signature') ?? '', key.secret)
      : service === 's3' &&
        sameSignature(
          fields.get('x-amz-signature') ?? '',
          hmac(signingKey(key.secret, { accessKeyId, date, region, service }), policy),
        )
  if (isSigned) return key.accountId
  throw new KilnError('SignatureDoesNotMatch', 'The signature of the policy does not match the one we calculated.')
}

function answer(fields: Fields, host: string, { bucket, key, etag }: { bucket: string; key: string; etag: string }) {
  const location = `http://${host}/${bucket}/${encodeURI(key)}`
  const headers = { etag: quoted(etag), location }
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect')
  if (redirect !== undefined && URL.canParse(redirect)) {
    const target = new URL(redirect)
    for (const [name, value] of Object.entries({ bucket, key, etag: quoted(etag) }))
      target.searchParams.set(name, value)
    return { status: 303, headers: { ...headers, location: target.href }, body: '' }
  }
  const status = fields.get('success_action_status') ?? '204'
  if (status === '200') return { status: 200, headers, body: '' }
  if (status !== '201') return { status: 204, headers, body: '' }
  const content = [['Location', location] as const, ['Bucket', bucket] as const, ['Key', key] as const]
  const elements = [...content, ['ETag', quoted(etag)] as const].map(([name, value]) => textElement(name, value))
  return { ...xmlAnswer('PostResponse', elements, headers), status: 201 }
}
