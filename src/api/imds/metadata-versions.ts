/**
 * The versions of instance metadata. A version has the categories that there were when it came out, so that a script
 * written for it finds what it was written for and nothing else.
 * Source: "Instance metadata categories" in the Amazon EC2 user guide, the column of versions.
 */
import { isDirectory, type MetadataDirectory, type MetadataNode } from './metadata-nodes.ts'

/** Every version that EC2 has published, oldest first. They sort as texts, `latest` last. */
export const metadataVersions: readonly string[] = [
  '1.0',
  '2007-01-19',
  '2007-03-01',
  '2007-08-29',
  '2007-10-10',
  '2007-12-15',
  '2008-02-01',
  '2008-09-01',
  '2009-04-04',
  '2011-01-01',
  '2011-05-01',
  '2012-01-12',
  '2014-02-25',
  '2014-11-05',
  '2015-10-20',
  '2016-04-19',
  '2016-06-30',
  '2016-09-02',
  '2018-03-28',
  '2018-08-17',
  '2018-09-24',
  '2019-10-01',
  '2020-10-27',
  '2021-01-03',
  '2021-03-23',
  '2021-07-15',
  '2022-09-24',
  '2024-04-11',
  'latest',
]

/** When a category came; `*` stands for any name. What is not here is as old as what it lies in. */
const introduced: Readonly<Record<string, string>> = {
  dynamic: '2009-04-04',
  'meta-data/block-device-mapping': '2007-12-15',
  'meta-data/events': '2018-08-17',
  // Not in the table: the day that EC2 began to hibernate instances.
  'meta-data/hibernation': '2018-11-28',
  'meta-data/iam': '2012-01-12',
  'meta-data/identity-credentials': '2018-05-23',
  'meta-data/instance-action': '2008-09-01',
  'meta-data/instance-life-cycle': '2019-10-01',
  'meta-data/instance-type': '2007-08-29',
  'meta-data/local-hostname': '2007-01-19',
  'meta-data/mac': '2011-01-01',
  'meta-data/metrics': '2011-05-01',
  'meta-data/network': '2011-01-01',
  'meta-data/network/interfaces/macs/*/vpc-ipv4-cidr-blocks': '2016-06-30',
  'meta-data/placement': '2008-02-01',
  'meta-data/placement/availability-zone-id': '2019-10-01',
  'meta-data/placement/region': '2020-08-24',
  'meta-data/public-hostname': '2007-01-19',
  'meta-data/public-ipv4': '2007-01-19',
  'meta-data/services': '2014-02-25',
  'meta-data/services/partition': '2015-10-20',
  'meta-data/system': '2022-09-24',
  'meta-data/tags': '2021-03-23',
}

const parents = new Set(Object.keys(introduced).flatMap(foldersAbove))

/** The directory as that version has it. */
export function asOfVersion(version: string, node: MetadataDirectory, path: readonly string[] = []): MetadataDirectory {
  const kept: [string, MetadataNode][] = []
  for (const [name, child] of node.children) {
    const at = [...path, isMacAddress(name) ? '*' : name]
    const since = introduced[at.join('/')]
    if (since !== undefined && since > version) continue
    const isCut = isDirectory(child) && parents.has(at.join('/'))
    kept.push([name, isCut ? asOfVersion(version, child, at) : child])
  }
  return { ...node, children: new Map(kept) }
}

function foldersAbove(path: string): string[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
}

const isMacAddress = (name: string) => /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(name)
