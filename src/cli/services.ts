/** S3 and IAM from the caller's side, as far as the commands for bundles need them. */
import { createHash, createHmac } from 'node:crypto'
import { XMLParser } from 'fast-xml-parser'
import { signatureHeaders } from '../api/signature/signing.ts'
import { systemClock } from '../lib/clock.ts'
import type { DaemonPage } from '../server.ts'
import { type Credentials, credentialsFor } from './client.ts'

export interface ServiceFlags {
  region: string
  account: string
}

export interface SigningCertificate {
  id: string
  body: string
  status: 'Active' | 'Inactive'
  uploadedAt: string
}

/** A service refused. */
export class ServiceError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(`${message} (${code})`)
    this.code = code
  }
}

const xml = new XMLParser({ parseTagValue: false, isArray: (name) => name === 'member' })
/** A part of a bundle has 10 MiB; a slow disk takes its time with it. */
const timeoutMs = 120_000
/** How long a bundle of a running instance may take. */
const policyMs = 24 * 3600_000

export class Services {
  readonly #url: string
  readonly #region: string
  readonly #credentials: Credentials

  constructor(page: DaemonPage, { region, account }: ServiceFlags) {
    this.#url = page.url
    this.#region = region
    this.#credentials = credentialsFor(page, account)
  }

  async certificates(): Promise<SigningCertificate[]> {
    const answer = await this.#iam('ListSigningCertificates', {})
    const members = answer!.Certificates as { member?: Record<string, string>[] } | ''
    if (members === '' || !members?.member) return []
    return members.member.map((each) => ({
      id: each.CertificateId!,
      body: each.CertificateBody!,
      status: each.Status as SigningCertificate['status'],
      uploadedAt: each.UploadDate!,
    }))
  }

  async addCertificate(body: string): Promise<string> {
    const answer = await this.#iam('UploadSigningCertificate', { CertificateBody: body })
    return (answer!.Certificate as Record<string, string>).CertificateId!
  }

  async removeCertificate(id: string): Promise<void> {
    await this.#iam('DeleteSigningCertificate', { CertificateId: id })
  }

  /** Makes the bucket unless the account has it. */
  async ensureBucket(bucket: string): Promise<void> {
    const place =
      this.#region === 'us-east-1'
        ? ''
        : `<CreateBucketConfiguration><LocationConstraint>${this.#region}</LocationConstraint></CreateBucketConfiguration>`
    await this.#s3('PUT', `/${bucket}`, Buffer.from(place)).catch((error) => {
      if (!(error instanceof ServiceError) || error.code !== 'BucketAlreadyOwnedByYou') throw error
    })
  }

  async putObject(bucket: string, key: string, bytes: Uint8Array): Promise<void> {
    await this.#s3('PUT', pathOf(bucket, key), bytes, { 'x-amz-acl': 'aws-exec-read' })
  }

  async getObject(bucket: string, key: string): Promise<Buffer> {
    const response = await this.#s3('GET', pathOf(bucket, key))
    return Buffer.from(await response.arrayBuffer())
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    await this.#s3('DELETE', pathOf(bucket, key))
  }

  /** A POST policy of S3 and its signature, as BundleInstance takes them. `policy` is base64. */
  uploadPolicy(bucket: string, prefix: string): { accessKeyId: string; policy: string; signature: string } {
    const expiration = new Date(systemClock.now() + policyMs).toISOString()
    const conditions = [{ bucket }, { acl: 'aws-exec-read' }, ['starts-with', '$key', prefix]]
    const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64')
    const { accessKeyId, secret } = this.#credentials
    return { accessKeyId, policy, signature: createHmac('sha1', secret).update(policy).digest('base64') }
  }

  async #iam(action: string, parameters: Record<string, string>): Promise<Record<string, unknown> | undefined> {
    const form = new URLSearchParams({ Action: action, Version: '2010-05-08', ...parameters })
    const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
    const where = { service: 'iam', region: 'us-east-1' }
    const response = await this.#send(where, 'POST', '/', Buffer.from(String(form)), headers)
    const root = xml.parse(await response.text())[`${action}Response`] as Record<string, Record<string, unknown>>
    return root[`${action}Result`]
  }

  #s3(method: string, path: string, body: Uint8Array = Buffer.alloc(0), headers: Record<string, string> = {}) {
    const digest = createHash('sha256').update(body).digest('hex')
    const where = { service: 's3', region: this.#region }
    return this.#send(where, method, path, body, { ...headers, 'x-amz-content-sha256': digest })
  }

  async #send(
    where: { service: string; region: string },
    method: string,
    path: string,
    body: Uint8Array,
    headers: Record<string, string>,
  ): Promise<Response> {
    const all = [...Object.entries(headers), ['host', new URL(this.#url).host] as const]
    const key = { ...this.#credentials, ...where }
    const pathAsSent = where.service === 's3'
    const signature = signatureHeaders({ method, target: path, headers: all, body }, key, systemClock.now(), {
      pathAsSent,
    })
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { ...headers, ...signature },
      signal: AbortSignal.timeout(timeoutMs),
      ...(method === 'GET' || method === 'DELETE' ? {} : { body: Uint8Array.from(body) }),
    })
    if (response.ok) return response
    throw refusalOf(await response.text(), response.status)
  }
}

function refusalOf(text: string, status: number): Error {
  try {
    const tree = xml.parse(text)
    const error = tree.ErrorResponse?.Error ?? tree.Error
    if (error?.Code) return new ServiceError(error.Code, error.Message ?? '')
  } catch {
    // Whatever it was, it was no answer of a service.
  }
  return new Error(`the Kiln answered ${status}: ${text.slice(0, 200)}`)
}

const pathOf = (bucket: string, key: string) =>
  `/${bucket}/${key
    .split('/')
    .map((part) => encodeURIComponent(part))
    .join('/')}`
