/** Single values as text, in both directions, as the query form and XML of EC2 write them. */
import type { ScalarKind } from '../model/model.ts'

export type ScalarValue = string | number | boolean | Date | Uint8Array

/** What a message says when a value is not of the kind. */
export const expectations: Readonly<Record<ScalarKind, string>> = {
  string: 'A text is expected.',
  integer: 'An integer is expected.',
  double: 'A number is expected.',
  boolean: 'Either true or false is expected.',
  timestamp: 'A UTC time of the form YYYY-MM-DDThh:mm:ssZ is expected.',
  blob: 'Base64 is expected.',
}

const timestampForm = /^(\d{4}-\d\d-(\d\d))T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
const base64Form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** The value that the text says, or undefined when it says none of that kind. */
export function readScalar(kind: ScalarKind, text: string): ScalarValue | undefined {
  switch (kind) {
    case 'string':
      return text
    case 'integer':
      return /^-?\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
    case 'double':
      return /^-?\d{1,16}(?:\.\d{1,16})?(?:[eE][+-]?\d{1,2})?$/.test(text) ? Number(text) : undefined
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined
    case 'timestamp':
      return readTimestamp(text)
    case 'blob':
      return base64Form.test(text) ? Buffer.from(text, 'base64') : undefined
  }
}

/** The text of a value, or undefined when the value is not of that kind. */
export function printScalar(kind: ScalarKind, value: unknown): string | undefined {
  switch (kind) {
    case 'string':
      return typeof value === 'string' ? value : undefined
    case 'integer':
    case 'double':
      return typeof value === 'number' && Number.isFinite(value) ? String(value) : undefined
    case 'boolean':
      return typeof value === 'boolean' ? String(value) : undefined
    case 'timestamp':
      return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined
    case 'blob':
      return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : undefined
  }
}

function readTimestamp(text: string): Date | undefined {
  const form = timestampForm.exec(text)
  if (!form) return undefined
  // Date rolls 30 February over to March: such a day is none.
  const day = new Date(`${form[1]}T00:00:00Z`)
  if (Number.isNaN(day.getTime()) || day.getUTCDate() !== Number(form[2])) return undefined
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time
}
