/** The EC2 API from the caller's side, on the same model and codec that serve it. Loaded by the commands that ask it. */
import { decodeError, decodeOutput, encodeInput } from '../api/ec2/codec/client-side.ts'
import { ec2Model } from '../api/ec2/model/model.ts'
import type { Ec2Operations } from '../api/ec2/model/operations.generated.ts'
import { signatureHeaders } from '../api/signature/signing.ts'
import { systemClock } from '../lib/clock.ts'
import type { DaemonPage } from '../server.ts'
import { request } from './daemon.ts'
import { UsageError } from './failure.ts'

export type OperationName = keyof Ec2Operations
export type InputOf<Name extends OperationName> = Ec2Operations[Name]['input']
export type OutputOf<Name extends OperationName> = Ec2Operations[Name]['output']

/** EC2 refused the request. */
export class Ec2Error extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(`${message} (${code})`)
    this.code = code
  }
}

export interface Credentials {
  accessKeyId: string
  secret: string
}

/** An open daemon takes the account's digits for a key; a verifying one wants the key that the environment holds. */
export function credentialsFor(page: DaemonPage, accountId: string): Credentials {
  if (page.auth === 'open') return { accessKeyId: accountId, secret: 'kiln' }
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secret } = process.env
  if (accessKeyId && secret) return { accessKeyId, secret }
  throw new UsageError(
    "this Kiln verifies signatures: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key from 'kiln key create'",
  )
}

export class Ec2Client {
  readonly region: string
  readonly #url: string
  readonly #credentials: Credentials

  constructor(options: { url: string; region: string; credentials: Credentials }) {
    this.#url = options.url
    this.region = options.region
    this.#credentials = options.credentials
  }

  /** Throws {@link Ec2Error} when EC2 refuses. */
  async call<Name extends OperationName>(name: Name, input: InputOf<Name>): Promise<OutputOf<Name>> {
    const model = ec2Model()
    const operation = model.operation(name)!
    const body = Buffer.from(encodeInput(operation, input, model.apiVersion))
    const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
    const signature = signatureHeaders(
      { method: 'POST', target: '/', headers: [...Object.entries(headers), ['host', new URL(this.#url).host]], body },
      { ...this.#credentials, region: this.region, service: 'ec2' },
      systemClock.now(),
    )
    const response = await request(`${this.#url}/`, { method: 'POST', headers: { ...headers, ...signature }, body })
    const xml = await response.text()
    if (response.ok) return decodeOutput(operation, xml) as OutputOf<Name>
    const error = decodeError(xml)
    throw error
      ? new Ec2Error(error.code, error.message)
      : new Error(`${name} was answered with status ${response.status}: ${xml.slice(0, 200)}`)
  }

  /** All pages of a Describe operation, as one list of what `items` finds in each. */
  async all<Name extends OperationName, Item>(
    name: Name,
    input: InputOf<Name>,
    items: (page: OutputOf<Name>) => readonly Item[] | undefined,
  ): Promise<Item[]> {
    const found: Item[] = []
    let token: string | undefined
    do {
      const page = await this.call(name, { ...input, ...(token ? { NextToken: token } : {}) })
      found.push(...(items(page) ?? []))
      token = (page as { NextToken?: string }).NextToken
    } while (token)
    return found
  }
}
