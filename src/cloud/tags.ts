/** Tags on any resource. */
import { type ErrorCode, KilnError } from '../lib/errors.ts'
import { type IdKind, idPrefixes, isId } from '../lib/ids.ts'
import { limits } from '../lib/limits.ts'
import type { Filter } from '../state/filters.ts'
import type { Page, PageRequest } from '../state/listing.ts'
import type { Repositories } from '../state/state.ts'
import type { Tag, TagRow } from '../state/tags.ts'
import type { CloudDeps, Scope } from './deps.ts'
import { checkMetadataTags } from './instances/metadata-tags.ts'
import {
  dhcpOptionsNotFound,
  interfaceNotFound,
  internetGatewayNotFound,
  natGatewayNotFound,
  networkAclNotFound,
  prefixListNotFound,
  routeTableNotFound,
  subnetNotFound,
  vpcEndpointNotFound,
  vpcNotFound,
} from './network/not-found.ts'

/** What can be tagged: EC2's name of the type, how to find one that the account may tag, and the error if there is none. */
interface Taggable {
  type: string
  exists(state: Repositories, scope: Scope, id: string): Promise<boolean>
  notFound(id: string): KilnError
  /** Throws when these cannot be tags of that one. */
  checkNew?(state: Repositories, id: string, tags: readonly Tag[]): Promise<void>
}

const owned = (row: { accountId: string; region: string } | undefined, scope: Scope) =>
  row !== undefined && row.accountId === scope.accountId && row.region === scope.region

const taggables: Partial<Record<IdKind, Taggable>> = {
  image: {
    type: 'image',
    // Images of others can be tagged by whoever sees them; the tags are the account's own.
    exists: async (state, scope, id) =>
      (await state.images.list(scope.region, { ...scope, ids: [id] })).items.length > 0,
    notFound: (id) => new KilnError('InvalidAMIID.NotFound', `The image id '[${id}]' does not exist`),
  },
  instance: {
    type: 'instance',
    exists: async (state, scope, id) => owned(await state.instances.get(id), scope),
    notFound: (id) => new KilnError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`),
    checkNew: async (state, id, tags) => {
      if ((await state.instances.get(id))?.instanceMetadataTags === 'enabled') checkMetadataTags(tags)
    },
  },
  volume: {
    type: 'volume',
    exists: async (state, scope, id) => owned(await state.volumes.get(id), scope),
    notFound: (id) => new KilnError('InvalidVolume.NotFound', `The volume '${id}' does not exist.`),
  },
  snapshot: {
    type: 'snapshot',
    exists: async (state, scope, id) => {
      const row = await state.snapshots.get(id)
      return owned(row, scope) && row?.state !== 'deleted'
    },
    notFound: (id) => new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`),
  },
  vpc: {
    type: 'vpc',
    exists: async (state, scope, id) => owned(await state.networks.vpc(id), scope),
    notFound: vpcNotFound,
  },
  subnet: {
    type: 'subnet',
    exists: async (state, scope, id) => owned(await state.networks.subnet(id), scope),
    notFound: subnetNotFound,
  },
  securityGroup: {
    type: 'security-group',
    exists: async (state, scope, id) => owned(await state.networks.securityGroup(id), scope),
    notFound: (id) => new KilnError('InvalidGroup.NotFound', `The security group '${id}' does not exist`),
  },
  securityGroupRule: {
    type: 'security-group-rule',
    exists: async (state, scope, id) =>
      (await state.networks.listRules(scope.region, { ...scope, ids: [id] })).items.length > 0,
    notFound: (id) =>
      new KilnError('InvalidSecurityGroupRuleId.NotFound', `The security group rule ID '${id}' does not exist`),
  },
  networkInterface: {
    type: 'network-interface',
    exists: async (state, scope, id) =>
      (await state.networks.listInterfaces(scope.region, { ...scope, ids: [id] })).items.length > 0,
    notFound: interfaceNotFound,
  },
  elasticAddress: {
    type: 'elastic-ip',
    exists: async (state, scope, id) => owned(await state.elasticAddresses.get(id), scope),
    notFound: (id) => new KilnError('InvalidAllocationID.NotFound', `The allocation ID '${id}' does not exist`),
  },
  internetGateway: {
    type: 'internet-gateway',
    exists: async (state, scope, id) => owned(await state.routing.gateway(id), scope),
    notFound: internetGatewayNotFound,
  },
  routeTable: {
    type: 'route-table',
    exists: async (state, scope, id) => owned(await state.routing.table(id), scope),
    notFound: routeTableNotFound,
  },
  networkAcl: {
    type: 'network-acl',
    exists: async (state, scope, id) => owned(await state.networkAcls.get(id), scope),
    notFound: networkAclNotFound,
  },
  dhcpOptions: {
    type: 'dhcp-options',
    exists: async (state, scope, id) => owned(await state.dhcpOptions.get(id), scope),
    notFound: dhcpOptionsNotFound,
  },
  prefixList: {
    type: 'prefix-list',
    exists: async (state, scope, id) => owned(await state.prefixLists.get(id), scope),
    notFound: prefixListNotFound,
  },
  natGateway: {
    type: 'natgateway',
    exists: async (state, scope, id) => owned(await state.natGateways.get(id), scope),
    notFound: natGatewayNotFound,
  },
  vpcEndpoint: {
    type: 'vpc-endpoint',
    exists: async (state, scope, id) => owned(await state.vpcEndpoints.get(id), scope),
    notFound: vpcEndpointNotFound,
  },
  replaceRootVolumeTask: {
    type: 'replace-root-volume-task',
    exists: async (state, scope, id) => owned(await state.replaceRootVolumeTasks.get(id), scope),
    notFound: (id) => new KilnError('InvalidID', `The replace root volume task '${id}' does not exist`),
  },
  importImageTask: transferTask('import-image-task', 'InvalidConversionTaskId'),
  importSnapshotTask: transferTask('import-snapshot-task', 'InvalidConversionTaskId'),
  exportImageTask: transferTask('export-image-task', 'InvalidExportTaskID.NotFound'),
  launchTemplate: {
    type: 'launch-template',
    exists: async (state, scope, id) => owned(await state.launchTemplates.get(id), scope),
    notFound: (id) => new KilnError('InvalidLaunchTemplateId.NotFound', `The launch template '${id}' does not exist.`),
  },
  spotRequest: {
    type: 'spot-instances-request',
    exists: async (state, scope, id) => owned(await state.spotRequests.get(id), scope),
    notFound: (id) =>
      new KilnError('InvalidSpotInstanceRequestID.NotFound', `The spot instance request ID '${id}' does not exist`),
  },
  fleet: {
    type: 'fleet',
    exists: async (state, scope, id) => owned(await state.fleets.get(id), scope),
    notFound: (id) => new KilnError('InvalidFleetId.NotFound', `The fleet ID '${id}' does not exist`),
  },
  keyPair: {
    type: 'key-pair',
    exists: async (state, scope, id) =>
      (await state.keyPairs.list(scope.region, { ...scope, ids: [id] })).items.length > 0,
    notFound: (id) => new KilnError('InvalidKeyPair.NotFound', `The key pair '${id}' does not exist`),
  },
}

function transferTask(type: string, code: ErrorCode): Taggable {
  return {
    type,
    exists: async (state, scope, id) => owned(await state.transfers.get(id), scope),
    notFound: (id) => new KilnError(code, `The task '${id}' does not exist.`),
  }
}

function taggableOf(id: string): Taggable {
  const kind = (Object.keys(idPrefixes) as IdKind[]).find((candidate) => taggables[candidate] && isId(candidate, id))
  if (!kind) throw new KilnError('InvalidID', `The ID '${id}' is not valid`)
  return taggables[kind]!
}

export class Tags {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  async create(scope: Scope, resourceIds: readonly string[], tags: readonly Tag[]): Promise<void> {
    const resources = resourceIds.map((id) => ({ id, taggable: taggableOf(id) }))
    await this.#deps.state.transaction(async (tx) => {
      for (const { id, taggable } of resources) {
        if (!(await taggable.exists(tx, scope, id))) throw taggable.notFound(id)
        await taggable.checkNew?.(tx, id, tags)
        const present = (await tx.tags.of(scope.accountId, [id])).get(id)!
        // Those that the cloud itself has put there do not count.
        const own = present.filter((tag) => !tag.key.startsWith('aws:'))
        const keys = new Set([...own, ...tags].map((tag) => tag.key))
        if (keys.size > limits.tagsPerResource) {
          throw new KilnError('TagLimitExceeded', `You have reached the maximum number of tags on the resource '${id}'`)
        }
        await tx.tags.put({ id, type: taggable.type, ...scope }, tags)
      }
    })
  }

  async remove(
    scope: Scope,
    resourceIds: readonly string[],
    tags: readonly { key: string; value: string | undefined }[],
  ): Promise<void> {
    const resources = resourceIds.map((id) => ({ id, taggable: taggableOf(id) }))
    await this.#deps.state.transaction(async (tx) => {
      for (const { id, taggable } of resources) {
        if (!(await taggable.exists(tx, scope, id))) throw taggable.notFound(id)
        await tx.tags.remove(scope.accountId, id, tags)
      }
    })
  }

  list(scope: Scope, request: { filters?: readonly Filter[]; page?: PageRequest }): Promise<Page<TagRow>> {
    return this.#deps.state.tags.list(scope.region, { ...request, accountId: scope.accountId })
  }

  /** The account's tags on those resources. */
  of(scope: Scope, resourceIds: readonly string[]): Promise<Map<string, Tag[]>> {
    return this.#deps.state.tags.of(scope.accountId, resourceIds)
  }
}

/** Tags copied from another resource under those that were asked for. Throws TagLimitExceeded for too many. */
export function mergeTags(base: readonly Tag[], over: readonly Tag[]): Tag[] {
  const merged = [...new Map([...base, ...over].map((tag) => [tag.key, tag])).values()]
  if (merged.length <= limits.tagsPerResource) return merged
  throw new KilnError('TagLimitExceeded', `A resource can have at most ${limits.tagsPerResource} tags.`)
}

export type { Tag, TagRow }
