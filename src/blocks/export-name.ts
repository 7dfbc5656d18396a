/**
 * Names of the block server's exports: `REGION/ROOT/VOLUME`, and `REGION/ROOT/VOLUME/KEY` for a snapshot whose blocks are
 * sealed: their key, under the master key, so that the name alone opens nothing. A name says everything that the server must know, so a
 * server that was started anew serves the same guests without being told anything.
 */
import { join } from 'node:path'
import { isId } from '../lib/ids.ts'
import type { MasterKey } from '../lib/master-key.ts'
import { isHash } from './format.ts'
import type { Hash } from './store.ts'

export interface ExportName {
  region: string
  root: Hash
  volumeId: string
  /** The key of the blocks as {@link wrapKey} gives it; null when they are not sealed. */
  wrappedKey: string | null
}

/** 32 bytes sealed, in base64url. */
const wrappedShape = /^[A-Za-z0-9_-]{82}$/
const regionShape = /^[a-z][a-z0-9-]{0,39}$/

/** Regions name folders: lower-case letters, digits and dashes only. */
export function isRegionName(text: string): boolean {
  return regionShape.test(text)
}

export function formatExportName({ region, root, volumeId, wrappedKey }: ExportName): string {
  const name = [region, root, volumeId, ...(wrappedKey === null ? [] : [wrappedKey])].join('/')
  if (!parseExportName(name)) throw new RangeError(`"${name}" cannot name an export`)
  return name
}

/** Undefined for anything that {@link formatExportName} could not have given; so no part can lead out of a folder. */
export function parseExportName(text: string): ExportName | undefined {
  const [region = '', root = '', volumeId = '', wrappedKey = null, ...rest] = text.split('/')
  if (rest.length > 0 || !isRegionName(region) || !isHash(root) || !isId('volume', volumeId)) return undefined
  if (wrappedKey !== null && !wrappedShape.test(wrappedKey)) return undefined
  return { region, root, volumeId, wrappedKey }
}

type Snapshot = Pick<ExportName, 'region' | 'root' | 'volumeId'>

/** Bound to the snapshot and the volume: no name of another export can be made of it. */
const wrapLabel = ({ region, root, volumeId }: Snapshot) => `export ${region}/${root}/${volumeId}`

export function wrapKey(masterKey: MasterKey, snapshot: Snapshot, sealKey: Buffer): string {
  return masterKey.seal(sealKey, wrapLabel(snapshot)).toString('base64url')
}

/** Null when there is none. Throws WrongKey. */
export function unwrapKey(masterKey: MasterKey, name: ExportName): Buffer | null {
  if (name.wrappedKey === null) return null
  return masterKey.unseal(Buffer.from(name.wrappedKey, 'base64url'), wrapLabel(name))
}

/** Where a region's store lies. */
export function regionStorePath(regionsDir: string, region: string): string {
  if (!isRegionName(region)) throw new RangeError(`"${region}" cannot name a region`)
  return join(regionsDir, region, 'store')
}
