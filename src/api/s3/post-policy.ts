/** What a signed policy lets a form upload. Source: "POST policy" in the S3 API reference. */
import { KilnError } from '../../lib/errors.ts'

/** Fields that no condition has to name. */
const unconditioned: ReadonlySet<string> = new Set([
  ...['x-amz-signature', 'file', 'policy', 'awsaccesskeyid', 'signature', 'x-amz-algorithm', 'x-amz-credential'],
  ...['x-amz-date', 'x-amz-security-token'],
])
const conditionsMax = 200

type Condition =
  | { kind: 'eq' | 'starts-with'; field: string; value: string }
  | { kind: 'content-length-range'; min: number; max: number }

export interface PostPolicy {
  expiresAtMs: number
  conditions: readonly Condition[]
}

/** Throws `InvalidPolicyDocument`. */
export function readPolicy(base64: string): PostPolicy {
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(base64, 'base64')))
  } catch (cause) {
    throw invalidPolicy('it is not JSON in base64', cause)
  }
  const { expiration, conditions } = (document ?? {}) as { expiration?: unknown; conditions?: unknown }
  const expiresAtMs = typeof expiration === 'string' ? Date.parse(expiration) : Number.NaN
  if (Number.isNaN(expiresAtMs)) throw invalidPolicy('its expiration is no ISO 8601 date')
  if (!Array.isArray(conditions) || conditions.length > conditionsMax) {
    throw invalidPolicy(`its conditions are no list of at most ${conditionsMax}`)
  }
  return { expiresAtMs, conditions: conditions.flatMap(readCondition) }
}

function readCondition(condition: unknown): Condition[] {
  if (!Array.isArray(condition)) {
    if (typeof condition !== 'object' || condition === null) throw invalidPolicy('a condition is no object and no list')
    return Object.entries(condition).map(([field, value]) => ({
      kind: 'eq',
      field: fieldOf(field),
      value: text(value),
    }))
  }
  const [kind, first, second] = condition
  const name = typeof kind === 'string' ? kind.toLowerCase() : ''
  if (name === 'content-length-range') {
    const [min, max] = [Number(first), Number(second)]
    if (Number.isInteger(min) && Number.isInteger(max) && min >= 0) return [{ kind: name, min, max }]
    throw invalidPolicy('content-length-range needs two whole numbers')
  }
  if (name !== 'eq' && name !== 'starts-with') throw invalidPolicy(`a condition is neither eq nor starts-with`)
  return [{ kind: name, field: fieldOf(text(first).replace(/^\$/, '')), value: text(second) }]
}

const fieldOf = (name: string) => name.toLowerCase()

function text(value: unknown): string {
  if (typeof value === 'string') return value
  throw invalidPolicy('a condition compares with something that is no text')
}

/** Throws `AccessDenied` when the policy is over, a condition does not hold, or a field has none. */
export function checkPolicy(policy: PostPolicy, fields: ReadonlyMap<string, string>, nowMs: number): void {
  if (nowMs > policy.expiresAtMs) throw denied('Policy expired.')
  const named = new Set<string>()
  for (const condition of policy.conditions) {
    if (condition.kind === 'content-length-range') continue
    const { kind, field, value } = condition
    named.add(field)
    const given = fields.get(field) ?? ''
    const holds = kind === 'eq' ? given === value : given.startsWith(value)
    if (!holds) throw denied(`Policy Condition failed: ["${kind}", "$${field}", "${value}"]`)
  }
  const extra = [...fields.keys()].find(
    (name) => !named.has(name) && !unconditioned.has(name) && !name.startsWith('x-ignore-'),
  )
  if (extra !== undefined) throw denied(`Extra input fields: ${extra.slice(0, 64)}`)
}

/** Throws `EntityTooSmall` or `EntityTooLarge` at the end, or as soon as there is too much. */
export async function* withinLength(
  policy: PostPolicy,
  content: AsyncIterable<Buffer>,
  limitBytes: number,
): AsyncGenerator<Buffer> {
  const ranges = policy.conditions.filter((condition) => condition.kind === 'content-length-range')
  const max = Math.min(limitBytes, ...ranges.map((range) => range.max))
  const min = Math.max(0, ...ranges.map((range) => range.min))
  let total = 0
  for await (const piece of content) {
    total += piece.length
    if (total > max)
      throw new KilnError('EntityTooLarge', `Your proposed upload exceeds the maximum allowed size ${max}.`)
    yield piece
  }
  if (total < min)
    throw new KilnError('EntityTooSmall', `Your proposed upload is smaller than the minimum size ${min}.`)
}

function denied(why: string): KilnError {
  return new KilnError('AccessDenied', `Invalid according to Policy: ${why}`)
}

function invalidPolicy(why: string, cause?: unknown): KilnError {
  return new KilnError('InvalidPolicyDocument', `Invalid Policy: ${why}.`, { cause })
}
