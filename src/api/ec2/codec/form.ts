/** The outermost layer of the EC2 query protocol: `application/x-www-form-urlencoded` text and its parameters. */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'

/**
 * Adds the parameters of a form, or of a URL's query, to `into`. A plus is a space and percent signs begin UTF-8 bytes.
 * Throws `MalformedQueryString` for broken escapes, names without text and names given twice.
 */
export function parseForm(text: string, into: Map<string, string> = new Map()): Map<string, string> {
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = unescaped(equals < 0 ? pair : pair.slice(0, equals))
    if (name === '') throw malformed('it has a value without a name')
    if (into.has(name)) throw malformed(`the parameter ${clipped(name)} is given more than once`)
    if (into.size >= limits.requestParameters) {
      throw malformed(`it has more than ${limits.requestParameters} parameters`)
    }
    into.set(name, equals < 0 ? '' : unescaped(pair.slice(equals + 1)))
  }
  return into
}

export function printForm(parameters: Iterable<readonly [string, string]>): string {
  return [...parameters].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&')
}

/** What a message may repeat of what the caller sent. */
export function clipped(text: string, length = 128): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw malformed('it has a broken percent-encoding', cause)
  }
}

function malformed(why: string, cause?: unknown): KilnError {
  return new KilnError('MalformedQueryString', `The query string is malformed: ${why}.`, { cause })
}
