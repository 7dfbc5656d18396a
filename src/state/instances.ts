import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { Builder, FilterRule, FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { InstanceState, InstancesTable, NetworkInterfacesTable, VolumeAttachmentsTable } from './schema.ts'

export type Instance = Selectable<InstancesTable>

/** EC2's numbers for the states. */
export const stateCodes: Readonly<Record<InstanceState, number>> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
}

const ofInterface = (column: keyof NetworkInterfacesTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .select('n.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where(match(`n.${column}`)),
    ),
})

const ofGroup = (column: 'id' | 'name'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .innerJoin('networkInterfaceGroups as ng', 'ng.networkInterfaceId', 'n.id')
        .innerJoin('securityGroups as g', 'g.id', 'ng.groupId')
        .select('g.id')
        .whereRef('n.instanceId', '=', 'instances.id')
        .where(match(`g.${column}`)),
    ),
})

const ofVolume = (column: keyof VolumeAttachmentsTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('volumeAttachments as a')
        .select('a.volumeId')
        .whereRef('a.instanceId', '=', 'instances.id')
        .where(match(`a.${column}`)),
    ),
})

const stateCode = (eb: Builder) =>
  Object.entries(stateCodes)
    .reduce(
      (cases, [state, code]) => cases.when('instances.state' as never, '=', state as never).then(String(code)),
      eb
        .case()
        .when('instances.state' as never, '=', '' as never)
        .then(''),
    )
    .else('')
    .end()

const instanceFilters: FilterRules = {
  tags: { tagsOf: 'instances.id' },
  architecture: { column: 'instances.architecture' },
  'availability-zone': { column: 'instances.zone' },
  'block-device-mapping.device-name': ofVolume('deviceName'),
  'block-device-mapping.status': ofVolume('state'),
  'block-device-mapping.volume-id': ofVolume('volumeId'),
  'client-token': { column: 'instances.clientToken' },
  'dns-name': ofInterface('publicIp'),
  'group-id': ofGroup('id'),
  'group-name': ofGroup('name'),
  hypervisor: { constant: 'xen' },
  'image-id': { column: 'instances.imageId' },
  'instance-id': { column: 'instances.id' },
  'instance-state-code': { text: stateCode },
  'instance-state-name': { column: 'instances.state' },
  'instance-type': { column: 'instances.instanceType' },
  'instance.group-id': ofGroup('id'),
  'instance.group-name': ofGroup('name'),
  'ip-address': ofInterface('publicIp'),
  'key-name': { column: 'instances.keyName' },
  'launch-index': { number: 'instances.launchIndex' },
  'launch-time': { time: 'instances.launchedAt' },
  'metadata-options.http-endpoint': { column: 'instances.httpEndpoint' },
  'metadata-options.http-tokens': { column: 'instances.httpTokens' },
  'metadata-options.instance-metadata-tags': { column: 'instances.instanceMetadataTags' },
  'network-interface.network-interface-id': ofInterface('id'),
  'network-interface.private-ip-address': ofInterface('privateIp'),
  'network-interface.subnet-id': ofInterface('subnetId'),
  'network-interface.vpc-id': ofInterface('vpcId'),
  'owner-id': { column: 'instances.accountId' },
  'platform-details': { column: 'instances.platformDetails' },
  'private-ip-address': ofInterface('privateIp'),
  'reservation-id': { column: 'instances.reservationId' },
  'root-device-name': { column: 'instances.rootDeviceName' },
  'root-device-type': { column: 'instances.rootDeviceType' },
  'source-dest-check': { number: 'instances.sourceDestCheck' },
  'state-reason-code': { column: 'instances.stateReasonCode' },
  'subnet-id': { column: 'instances.subnetId' },
  tenancy: { constant: 'default' },
  'virtualization-type': { column: 'instances.virtualizationType' },
  'vpc-id': { column: 'instances.vpcId' },
}

const passed: FilterRule = { column: 'instances.reachability' }

/** The filters of DescribeInstanceStatus. */
const statusFilters: FilterRules = {
  'availability-zone': { column: 'instances.zone' },
  'instance-state-code': instanceFilters['instance-state-code']!,
  'instance-state-name': { column: 'instances.state' },
  'instance-status.reachability': passed,
  'instance-status.status': {
    text: (eb) =>
      eb
        .case()
        .when('instances.reachability' as never, '=', 'passed' as never)
        .then('ok')
        .when('instances.reachability' as never, '=', 'failed' as never)
        .then('impaired')
        .else(eb.ref('instances.reachability' as never))
        .end(),
  },
  'system-status.reachability': passed,
  'system-status.status': { constant: 'ok' },
}

/** How long a terminated instance is still described (EC2: about an hour). */
export const terminatedVisibleMs = 60 * 60 * 1000

export class InstanceRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(rows: readonly Insertable<InstancesTable>[]): Promise<void> {
    await insertRows(this.#db, 'instances', rows)
  }

  get(id: string): Promise<Instance | undefined> {
    return this.#db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<Instance[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  inReservation(reservationId: string): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('reservationId', '=', reservationId)
      .orderBy('launchIndex')
      .execute()
  }

  inStates(states: readonly InstanceState[]): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('state', 'in', [...states])
      .execute()
  }

  /** Running instances whose guest has not answered since its start, or was last looked at before that time. */
  dueForCheck(beforeMs: number): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('state', '=', 'running')
      .where('heldBy', 'is', null)
      .where((eb) => eb.or([eb('reachability', '=', 'initializing'), eb('reachabilityAt', '<=', beforeMs)]))
      .execute()
  }

  async update(id: string, patch: Partial<InstancesTable>): Promise<void> {
    await this.#db.updateTable('instances').set(patch).where('id', '=', id).execute()
  }

  /** Changes the state only if it is one of `from`; whether it did. */
  async move(id: string, from: readonly InstanceState[], patch: Partial<InstancesTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('instances')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  list(region: string, request: ListRequest & { nowMs: number }): Promise<Page<Instance>> {
    return this.#list(region, request, instanceFilters)
  }

  listStatus(region: string, request: ListRequest & { nowMs: number; runningOnly: boolean }): Promise<Page<Instance>> {
    return this.#list(region, request, statusFilters, request.runningOnly)
  }

  #list(
    region: string,
    request: ListRequest & { nowMs: number },
    rules: FilterRules,
    runningOnly = false,
  ): Promise<Page<Instance>> {
    let query = this.#db
      .selectFrom('instances')
      .selectAll()
      .where('instances.accountId', '=', request.accountId)
      .where('instances.region', '=', region)
      .where((eb) =>
        eb.or([
          eb('instances.terminatedAt', 'is', null),
          eb('instances.terminatedAt', '>', request.nowMs - terminatedVisibleMs),
        ]),
      )
    if (runningOnly) query = query.where('instances.state', '=', 'running')
    const order = { time: 'instances.createdAt', id: 'instances.id' }
    return listPage(query, rules, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
