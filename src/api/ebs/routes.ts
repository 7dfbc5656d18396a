/** Which operation of the EBS direct APIs a method and a path mean. */
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'

export type EbsOperation =
  | 'CompleteSnapshot'
  | 'GetSnapshotBlock'
  | 'ListChangedBlocks'
  | 'ListSnapshotBlocks'
  | 'PutSnapshotBlock'
  | 'StartSnapshot'

export interface EbsRoute {
  operation: EbsOperation
  /** Empty where the path names none. */
  snapshotId: string
  blockIndex: string
}

const segment = '([^/]+)'
const routes: readonly { operation: EbsOperation; method: string; path: RegExp }[] = [
  { operation: 'StartSnapshot', method: 'POST', path: /^\/snapshots$/ },
  { operation: 'CompleteSnapshot', method: 'POST', path: pathOf(`completion/${segment}`) },
  { operation: 'ListSnapshotBlocks', method: 'GET', path: pathOf(`${segment}/blocks`) },
  { operation: 'ListChangedBlocks', method: 'GET', path: pathOf(`${segment}/changedblocks`) },
  { operation: 'GetSnapshotBlock', method: 'GET', path: pathOf(`${segment}/blocks/${segment}`) },
  { operation: 'PutSnapshotBlock', method: 'PUT', path: pathOf(`${segment}/blocks/${segment}`) },
]

function pathOf(below: string): RegExp {
  return new RegExp(`^/snapshots/${below}$`)
}

/** Takes a path that is still percent-encoded. Throws UnknownOperationException. */
export function routeOf(method: string, path: string): EbsRoute {
  for (const route of routes) {
    const match = route.method === method && route.path.exec(path)
    if (!match) continue
    const [snapshotId = '', blockIndex = ''] = match.slice(1).map(unescaped)
    return { operation: route.operation, snapshotId, blockIndex }
  }
  throw new KilnError('UnknownOperationException', `There is no operation ${method} ${clipped(path)}.`)
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
