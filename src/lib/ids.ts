/** Resource ids in EC2's long form: a prefix, a dash and 17 lower-case hexadecimal digits. */
import type { Random } from './random.ts'

/** Every kind of resource that Kiln names with an EC2 id, and its prefix. */
export const idPrefixes = {
  image: 'ami',
  instance: 'i',
  volume: 'vol',
  snapshot: 'snap',
  vpc: 'vpc',
  subnet: 'subnet',
  securityGroup: 'sg',
  securityGroupRule: 'sgr',
  networkInterface: 'eni',
  networkInterfaceAttachment: 'eni-attach',
  reservation: 'r',
  keyPair: 'key',
  elasticAddress: 'eipalloc',
  elasticAssociation: 'eipassoc',
  instanceProfileAssociation: 'iip-assoc',
  launchTemplate: 'lt',
  internetGateway: 'igw',
  routeTable: 'rtb',
  routeTableAssociation: 'rtbassoc',
  networkAcl: 'acl',
  networkAclAssociation: 'aclassoc',
  dhcpOptions: 'dopt',
  prefixList: 'pl',
  vpcEndpoint: 'vpce',
  natGateway: 'nat',
  replaceRootVolumeTask: 'replacevol',
  fastSnapshotRestore: 'fsr',
  operation: 'op',
  importImageTask: 'import-ami',
  importSnapshotTask: 'import-snap',
  exportImageTask: 'export-ami',
  storedImageTask: 'stored-ami',
  bundleTask: 'bun',
  budget: 'budget',
  spotRequest: 'sir',
  fleet: 'fleet',
} as const

export type IdKind = keyof typeof idPrefixes

export function newId(kind: IdKind, random: Random): string {
  const tail = kind === 'fleet' ? uuid(random) : random.bytes(9).toString('hex').slice(0, 17)
  return `${idPrefixes[kind]}-${tail}`
}

/** Fleets are called by one where all else has 17 digits. */
function uuid(random: Random): string {
  return random
    .bytes(16)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

const uuidShape = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'

const shapes = new Map<IdKind, RegExp>(
  Object.entries(idPrefixes).map(([kind, prefix]) => [
    kind as IdKind,
    new RegExp(`^${prefix}-(${kind === 'fleet' ? uuidShape : '[0-9a-f]{8}|[0-9a-f]{17}'})$`),
  ]),
)

/** True when the text has the shape of an id of that kind (EC2 accepts the old 8-digit form as well). */
export function isId(kind: IdKind, text: string): boolean {
  return shapes.get(kind)!.test(text)
}
