/** The parameters of a query form as a tree: `Filter.1.Name` is the child `Name` of the child `1` of `Filter`. */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { clipped } from './form.ts'

export interface Parameter {
  /** The full dotted name, as the caller wrote it. */
  path: string
  /** Undefined where only deeper parameters were given. */
  value: string | undefined
  children: Map<string, Parameter>
}

/** Parameters that are about the request and not about the operation. */
const envelope: ReadonlySet<string> = new Set(['Action', 'Version'])

/** Parameters of a presigned URL. */
const signaturePrefix = 'X-Amz-'

export function parameterTree(form: ReadonlyMap<string, string>): Parameter {
  const root: Parameter = { path: '', value: undefined, children: new Map() }
  for (const [name, value] of form) {
    if (!envelope.has(name) && !name.startsWith(signaturePrefix)) leafOf(root, name).value = value
  }
  return root
}

function leafOf(root: Parameter, name: string): Parameter {
  const segments = name.split('.')
  if (segments.length > limits.parameterDepth || segments.includes('')) {
    throw new KilnError('MalformedQueryString', `The query string is malformed: ${clipped(name)} is not a name.`)
  }
  let node = root
  for (const segment of segments) {
    let child = node.children.get(segment)
    if (!child) {
      child = { path: node.path === '' ? segment : `${node.path}.${segment}`, value: undefined, children: new Map() }
      node.children.set(segment, child)
    }
    node = child
  }
  return node
}
