/** Signs a request of Kiln's own command, so that it passes the same check as everybody's. */
import { algorithm, type CredentialScope, type SignedRequest } from './authorization.ts'
import { canonicalRequest, hmac, scopeText, sha256Hex, signingKey, stringToSign } from './canonical.ts'

export interface SigningKey {
  accessKeyId: string
  secret: string
  region: string
  service: string
}

/** The headers that sign the request (which must have its `host` header), to be sent besides its own. */
export function signatureHeaders(
  request: SignedRequest & { body: Uint8Array },
  key: SigningKey,
  nowMs: number,
  { pathAsSent = false }: { pathAsSent?: boolean } = {},
): Record<'x-amz-date' | 'authorization', string> {
  const timestamp = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope: CredentialScope = { ...key, date: timestamp.slice(0, 8) }
  const headers = [...request.headers, ['x-amz-date', timestamp] as const]
  const signedHeaders = headers.map(([name]) => name.toLowerCase()).sort()
  const canonical = canonicalRequest(
    { ...request, headers },
    { signedHeaders, payloadHash: sha256Hex(request.body), pathAsSent },
  )
  const signature = hmac(signingKey(key.secret, scope), stringToSign(timestamp, scope, canonical)).toString('hex')
  return {
    'x-amz-date': timestamp,
    authorization: `${algorithm} Credential=${key.accessKeyId}/${scopeText(scope)}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`,
  }
}
