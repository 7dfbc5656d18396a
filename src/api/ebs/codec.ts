/** Values of the EBS direct APIs' requests (REST-JSON), each within the bounds that the API reference gives. */
import type { StartSnapshotRequest } from '@aws-sdk/client-ebs'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'

/** Blocks of the largest volume; every index that fits no volume at all is refused. */
const blockIndexMax = 2 ** 31 - 1
const snapshotIdMax = 64
const descriptionMax = 255
const tagKeyMax = 127
const tagValueMax = 255

interface Bounds {
  min: number
  max: number
}

export function readSnapshotId(name: string, text: string | undefined): string {
  if (text !== undefined && text.length <= snapshotIdMax && /^snap-[0-9a-f]+$/.test(text)) return text
  throw new KilnError('ValidationException.InvalidSnapshotId', `${name} '${clipped(text ?? '')}' is not a snapshot id.`)
}

export function readBlockIndex(text: string): number {
  return readInteger('BlockIndex', text, { min: 0, max: blockIndexMax })
}

/** A whole number in decimal digits. */
export function readInteger(name: string, text: string | undefined, bounds: Bounds): number {
  if (text === undefined) throw invalid(`${name} is missing.`)
  return checkNumber(name, /^-?\d{1,15}$/.test(text) ? Number(text) : text, bounds)
}

/** The text must be one of the values; undefined when it is absent. */
export function readChoice(name: string, text: string | undefined, values: readonly string[]): string | undefined {
  if (text === undefined || values.includes(text)) return text
  throw invalid(`${name} '${clipped(text)}' is not one of: ${values.join(', ')}.`)
}

/** A SHA-256 in base64; in hexadecimal afterwards. */
export function readChecksum(name: string, text: string | undefined): string {
  const bytes = Buffer.from(text ?? '', 'base64')
  if (bytes.length === 32 && bytes.toString('base64') === text) return bytes.toString('hex')
  throw invalid(`${name} must be a SHA-256 in base64.`)
}

export const base64Of = (hexadecimal: string) => Buffer.from(hexadecimal, 'hex').toString('base64')

/** Members that the model does not know are ignored, as services of this protocol do. */
export function readStartSnapshot(body: Buffer): StartSnapshotRequest {
  const input = readObject(body)
  const { VolumeSize, ParentSnapshotId, Description, ClientToken, Encrypted, KmsKeyArn, Timeout, Tags } = input
  const size = { min: 1, max: limits.volumeGibMax }
  if (VolumeSize === undefined || VolumeSize === null) throw invalid('VolumeSize is missing.')
  return {
    VolumeSize: checkNumber('VolumeSize', VolumeSize, size, 'ValidationException.InvalidVolumeSize'),
    ParentSnapshotId: given(ParentSnapshotId, (value) => readSnapshotId('ParentSnapshotId', checkText('', value))),
    Description: given(Description, (value) => checkText('Description', value, { min: 1, max: descriptionMax })),
    ClientToken: given(ClientToken, (value) => checkText('ClientToken', value)),
    Encrypted: given(Encrypted, (value) => checkFlag('Encrypted', value)),
    KmsKeyArn: given(KmsKeyArn, (value) => checkText('KmsKeyArn', value)),
    Timeout: given(Timeout, (value) => checkNumber('Timeout', value, { min: 10, max: 4320 })),
    Tags: given(Tags, checkTags),
  }
}

function readObject(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Told below: it is no object either.
  }
  throw invalid('The request body is not a JSON object.')
}

/** JSON's null is an absent member. */
function given<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value)
}

function checkNumber(
  name: string,
  value: unknown,
  { min, max }: Bounds,
  code:
    | 'ValidationException.InvalidVolumeSize'
    | 'ValidationException.InvalidParameterValue' = 'ValidationException.InvalidParameterValue',
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new KilnError(code, `${name} '${clipped(String(value))}' is not a whole number from ${min} to ${max}.`)
}

function checkText(name: string, value: unknown, bounds: Bounds = { min: 0, max: 2048 }): string {
  if (typeof value === 'string' && value.length >= bounds.min && value.length <= bounds.max) return value
  throw invalid(`${name} must be a text of ${bounds.min} to ${bounds.max} characters.`)
}

function checkFlag(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw invalid(`${name} must be true or false.`)
}

function checkTags(value: unknown): { Key: string; Value: string }[] {
  if (!Array.isArray(value) || value.length > limits.tagsPerResource) {
    throw invalidTag(`A snapshot can have at most ${limits.tagsPerResource} tags.`)
  }
  const tags = value.map(checkTag)
  if (new Set(tags.map((tag) => tag.Key)).size < tags.length) throw invalidTag('A tag key is given more than once.')
  return tags
}

function checkTag(value: unknown): { Key: string; Value: string } {
  const { Key: key, Value: text = '' } = (value ?? {}) as Record<string, unknown>
  if (typeof key !== 'string' || key === '' || key.length > tagKeyMax) {
    throw invalidTag(`A tag key must have 1 to ${tagKeyMax} characters.`)
  }
  if (typeof text !== 'string' || text.length > tagValueMax) {
    throw invalidTag(`A tag value can have at most ${tagValueMax} characters.`)
  }
  if (key.toLowerCase().startsWith('aws:')) throw invalidTag("Tag keys that begin with 'aws:' are reserved.")
  return { Key: key, Value: text }
}

const invalid = (message: string) => new KilnError('ValidationException.InvalidParameterValue', message)
const invalidTag = (message: string) => new KilnError('ValidationException.InvalidTag', message)
