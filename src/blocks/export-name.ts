/**
 * Names of the block server's exports: `REGION/ROOT/VOLUME`. A name says everything that the server must know, so a
 * server that was started anew serves the same guests without being told anything.
 */
import { join } from 'node:path'
import { isId } from '../lib/ids.ts'
import { isHash } from './format.ts'
import type { Hash } from './store.ts'

export interface ExportName {
  region: string
  root: Hash
  volumeId: string
}

const regionShape = /^[a-z][a-z0-9-]{0,39}$/

/** Regions name folders: lower-case letters, digits and dashes only. */
export function isRegionName(text: string): boolean {
  return regionShape.test(text)
}

export function formatExportName({ region, root, volumeId }: ExportName): string {
  const name = `${region}/${root}/${volumeId}`
  if (!parseExportName(name)) throw new RangeError(`"${name}" cannot name an export`)
  return name
}

/** Undefined for anything that {@link formatExportName} could not have given; so no part can lead out of a folder. */
export function parseExportName(text: string): ExportName | undefined {
  const [region = '', root = '', volumeId = '', ...rest] = text.split('/')
  if (rest.length > 0 || !isRegionName(region) || !isHash(root) || !isId('volume', volumeId)) return undefined
  return { region, root, volumeId }
}

/** Where a region's store lies. */
export function regionStorePath(regionsDir: string, region: string): string {
  if (!isRegionName(region)) throw new RangeError(`"${region}" cannot name a region`)
  return join(regionsDir, region, 'store')
}
