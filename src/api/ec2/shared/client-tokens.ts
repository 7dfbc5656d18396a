/** Client tokens. Source: "Ensuring idempotency in Amazon EC2 API requests" in the EC2 API reference. */
import { createHash } from 'node:crypto'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'

export interface ClientToken {
  token: string
  /** SHA-256 of every parameter but the token itself and DryRun, whatever order they came in. */
  paramsHash: string
}

/** Undefined when the caller gave none. Throws `InvalidParameterValue` for one that is longer or no ASCII. */
export function readClientToken(
  input: { ClientToken?: string | undefined; DryRun?: boolean },
  lengthMax: number = limits.clientTokenLength,
): ClientToken | undefined {
  const { ClientToken: token, DryRun: _, ...parameters } = input
  // The command line and some tools send an empty token for none.
  if (token === undefined || token === '') return undefined
  if (token.length > lengthMax || !/^[\x20-\x7e]*$/.test(token)) {
    throw new KilnError('InvalidParameterValue', `The client token must be at most ${lengthMax} ASCII characters long.`)
  }
  return { token, paramsHash: createHash('sha256').update(stableText(parameters)).digest('hex') }
}

/** One text for equal values: members in the order of their names, absent ones left out. */
function stableText(value: unknown): string {
  if (value instanceof Date) return `time ${value.toISOString()}`
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('base64')}`
  if (Array.isArray(value)) return `[${value.map(stableText).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([name, member]) => `${name}:${stableText(member)}`).join(',')}}`
  }
  return JSON.stringify(value)
}
