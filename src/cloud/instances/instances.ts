/** Instances: their life as users ask for it, and what is told about them. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Instance } from '../../state/instances.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { InstanceState } from '../../state/schema.ts'
import type { Repositories } from '../../state/state.ts'
import { idsWithout, listAsked } from '../asked-ids.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { fetchRootOperation } from '../instance-store/fetch-operation.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { applyVpc } from '../network/plan.ts'
import type { MachineDriver, Picture } from '../ports.ts'
import type { Volumes } from '../volumes/volumes.ts'
import { type BootInput, bootKind, bootOperation } from './boot-operation.ts'
import { checkGroupCount } from './group-count.ts'
import { countOnHost } from './host-capacity.ts'
import { type InstanceAction, nextState } from './instance-states.ts'
import { type InstanceView, instanceViews } from './instance-views.ts'
import type { MachineRuns } from './machine-runs.ts'
import type { MetadataOptions } from './metadata-options.ts'
import { checkMetadataTags } from './metadata-tags.ts'
import { rebootKind, rebootOperation } from './reboot-operation.ts'
import { enqueueStop, stopOperation } from './stop-operation.ts'
import { enqueueTermination, terminateOperation } from './terminate-operation.ts'

export interface StateChange {
  instanceId: string
  previous: InstanceState
  current: InstanceState
}

export class Instances {
  readonly #deps: CloudDeps
  readonly #instanceDisks: InstanceDisks

  constructor(deps: CloudDeps, runs: MachineRuns, volumes: Volumes, instanceDisks: InstanceDisks) {
    this.#deps = deps
    this.#instanceDisks = instanceDisks
    deps.operations.register(bootOperation(deps, runs, instanceDisks))
    deps.operations.register(stopOperation(deps, runs, instanceDisks))
    deps.operations.register(rebootOperation(deps, runs))
    deps.operations.register(terminateOperation(deps, runs, volumes, instanceDisks))
    deps.operations.register(fetchRootOperation(deps, instanceDisks))
  }

  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<InstanceView>> {
    const { state, clock } = this.#deps
    const { accountId, region } = scope
    const page = await listAsked(
      (what: typeof request) => state.instances.list(region, { ...what, accountId, nowMs: clock.now() }),
      request,
      notFound,
    )
    return { ...page, items: await instanceViews(state, page.items) }
  }

  async listStatus(
    scope: Scope,
    request: Omit<ListRequest, 'accountId'> & { includeAll: boolean },
  ): Promise<Page<Instance>> {
    const { state, clock } = this.#deps
    if (request.ids) await this.many(scope, request.ids)
    const { accountId } = scope
    const page = request.ids ? undefined : request.page
    const runningOnly = !request.includeAll
    return state.instances.listStatus(scope.region, { ...request, page, accountId, nowMs: clock.now(), runningOnly })
  }

  async get(scope: Scope, id: string): Promise<Instance> {
    return (await this.many(scope, [id]))[0]!
  }

  async view(scope: Scope, id: string): Promise<InstanceView> {
    return (await instanceViews(this.#deps.state, [await this.get(scope, id)]))[0]!
  }

  /** In the order of the ids. Throws InvalidInstanceID.NotFound for any that the account has not in this region. */
  async many(scope: Scope, ids: readonly string[]): Promise<Instance[]> {
    const rows = await this.#deps.state.instances.many(ids)
    const owned = rows.filter((row) => row.accountId === scope.accountId && row.region === scope.region)
    const missing = idsWithout(ids, owned)
    if (missing.length > 0) throw notFound(missing)
    const byId = new Map(owned.map((row) => [row.id, row]))
    return ids.map((id) => byId.get(id)!)
  }

  async start(scope: Scope, ids: readonly string[]): Promise<StateChange[]> {
    for (const instance of await this.many(scope, ids)) {
      if (instance.rootDeviceType === 'ebs') continue
      throw new KilnError(
        'UnsupportedOperation',
        `The instance '${instance.id}' does not have an 'ebs' root device type and cannot be started.`,
      )
    }
    return this.#move(scope, ids, 'start', async (tx, instance) => {
      const { network, clock, operations } = this.#deps
      await countOnHost(this.#deps, tx, instance.instanceType, { least: 1, most: 1 })
      const disks = await tx.volumes.attachmentsOfInstances([instance.id])
      if (!disks.some((disk) => disk.deviceName === instance.rootDeviceName && disk.state !== 'detaching')) {
        throw new KilnError(
          'InvalidParameterValue',
          `Invalid value '${instance.id}' for instanceId. Instance does not have a volume attached at root (${instance.rootDeviceName})`,
        )
      }
      await this.#instanceDisks.fit(
        tx,
        instance,
        disks.map(({ slot }) => slot),
      )
      const [nic] = await tx.networks.interfacesOf([instance.id])
      const subnet = nic && (await tx.networks.subnet(nic.subnetId))
      if (nic && nic.allocationId === null && subnet?.mapPublicIp === 1) {
        const publicIp = await network.allocatePublicIp(await tx.networks.publicIps())
        await tx.networks.updateInterface(nic.id, { publicIp })
      }
      const { id: subjectId, accountId, region } = instance
      const input: BootInput = { isLaunch: false }
      await operations.enqueue(tx, { kind: bootKind, subjectId, accountId, region, input })
      return {
        launchedAt: clock.now(),
        stateReasonCode: null,
        stateReasonMessage: null,
        stateTransitionReason: '',
        reachability: 'initializing',
        reachabilityAt: clock.now(),
      }
    })
  }

  async stop(
    scope: Scope,
    ids: readonly string[],
    options: { force: boolean; ignoreProtection?: boolean },
  ): Promise<StateChange[]> {
    for (const instance of await this.many(scope, ids)) {
      if (instance.rootDeviceType === 'instance-store') {
        throw new KilnError(
          'UnsupportedOperation',
          `The instance '${instance.id}' does not have an 'ebs' root device type and cannot be stopped.`,
        )
      }
      if (!options.ignoreProtection) await this.#checkSpotStop(instance)
      if (instance.disableApiStop === 1 && !options.ignoreProtection) {
        throw new KilnError(
          'OperationNotPermitted',
          `The instance '${instance.id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.`,
        )
      }
    }
    const changes = await this.#move(scope, ids, 'stop', async (tx, instance) => {
      await enqueueStop(this.#deps, tx, instance, { force: options.force })
      return this.#userInitiated()
    })
    if (options.force) {
      // One that takes its time to stop is what force is for: its operation finds the machine gone.
      const slow = changes.filter((change) => change.previous === 'stopping')
      await Promise.all(slow.map((change) => this.#deps.machines.destroy(change.instanceId)))
    }
    return changes
  }

  /** Source: "Stop a Spot Instance" in the EC2 user guide. */
  async #checkSpotStop({ id, spotRequestId }: Instance): Promise<void> {
    const request = spotRequestId && (await this.#deps.state.spotRequests.get(spotRequestId))
    if (!request || request.type === 'persistent') return
    throw new KilnError(
      'UnsupportedOperation',
      `You can't stop the Spot Instance '${id}' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.`,
    )
  }

  async terminate(scope: Scope, ids: readonly string[]): Promise<StateChange[]> {
    for (const instance of await this.many(scope, ids)) {
      if (instance.disableApiTermination === 1 && instance.state !== 'terminated') {
        throw new KilnError(
          'OperationNotPermitted',
          `The instance '${instance.id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.`,
        )
      }
    }
    return this.#move(scope, ids, 'terminate', async (tx, instance) => {
      await enqueueTermination(this.#deps, tx, instance)
      return this.#userInitiated()
    })
  }

  /** Off with it, whatever protects it: stopped, or terminated when it cannot be stopped. */
  async switchOff(scope: Scope, { id, rootDeviceType }: Instance): Promise<void> {
    if (rootDeviceType === 'ebs') {
      await this.stop(scope, [id], { force: false, ignoreProtection: true })
      return
    }
    await this.#move(scope, [id], 'terminate', async (tx, instance) => {
      await enqueueTermination(this.#deps, tx, instance)
      return this.#userInitiated()
    })
  }

  async reboot(scope: Scope, ids: readonly string[]): Promise<void> {
    await this.#move(scope, ids, 'reboot', async (tx, { id: subjectId, accountId, region }) => {
      await this.#deps.operations.enqueue(tx, { kind: rebootKind, subjectId, accountId, region, input: {} })
      return {}
    })
  }

  #userInitiated(): Partial<Instance> {
    const at = new Date(this.#deps.clock.now()).toISOString().replace('T', ' ').slice(0, 19)
    return {
      stateReasonCode: 'Client.UserInitiatedShutdown',
      stateReasonMessage: 'Client.UserInitiatedShutdown: User initiated shutdown',
      stateTransitionReason: `User initiated (${at} GMT)`,
    }
  }

  /**
   * All of the instances move, or none: the whole request is refused when one of them is in the wrong state.
   * `enter` runs for those that really change (and for a reboot), and gives what else changes with the state.
   */
  async #move(
    scope: Scope,
    ids: readonly string[],
    action: InstanceAction,
    enter: (tx: Repositories, instance: Instance) => Promise<Partial<Instance>>,
  ): Promise<StateChange[]> {
    const { state, operations } = this.#deps
    const unique = [...new Set(ids)]
    await this.many(scope, unique)
    const changes = await state.transaction(async (tx) => {
      const done: StateChange[] = []
      for (const id of unique) {
        const instance = (await tx.instances.get(id))!
        const next = nextState(action, instance)
        if (next !== instance.state || action === 'reboot') {
          const patch = { ...(await enter(tx, instance)), state: next }
          if (!(await tx.instances.move(id, [instance.state], patch))) nextState(action, (await tx.instances.get(id))!)
        }
        done.push({ instanceId: id, previous: instance.state, current: next })
      }
      return done
    })
    operations.wake()
    return changes
  }

  /** The newest serial output. Null when the guest has written nothing yet. */
  async console(scope: Scope, id: string): Promise<{ text: string; atMs: number } | null> {
    await this.get(scope, id)
    return this.#deps.machines.consoleOutput(id, limits.consoleBytes)
  }

  /** What its screen shows; with `wake` a key is pressed before. Only what runs has a screen. */
  async screen(scope: Scope, id: string, options: { wake: boolean }): Promise<Picture> {
    const { state } = await this.get(scope, id)
    if (state !== 'running') {
      throw new KilnError('IncorrectInstanceState', `The instance '${id}' is not in the 'running' state.`)
    }
    const picture = await this.#deps.machines.screen(id, options)
    if (picture) return picture
    throw new KilnError(
      'UnsupportedOperation',
      `The instance '${id}' has no screen: ${screenless(this.#deps.machines)}.`,
    )
  }

  /** Changes attributes; some of them only while the instance is stopped, as on EC2. */
  async modify(scope: Scope, id: string, patch: Partial<Instance>, needsStopped?: string): Promise<void> {
    const instance = await this.get(scope, id)
    refuseEnded(instance)
    if (needsStopped && instance.state !== 'stopped') {
      throw new KilnError(
        'IncorrectInstanceState',
        `The instance '${id}' is not in the 'stopped' state, which changing ${needsStopped} needs.`,
      )
    }
    // The instance may have moved on since it was looked at.
    if (await this.#deps.state.instances.move(id, [instance.state], patch)) return
    await this.modify(scope, id, patch, needsStopped)
  }

  /** Throws IncorrectInstanceState, and changes none, when one of them is terminated. */
  async setMonitoring(scope: Scope, ids: readonly string[], isOn: boolean): Promise<void> {
    const instances = await this.many(scope, ids)
    for (const instance of instances) refuseEnded(instance)
    for (const { id } of instances) await this.modify(scope, id, { monitoring: isOn ? 1 : 0 })
  }

  async setMetadataOptions(scope: Scope, id: string, options: MetadataOptions): Promise<void> {
    if (options.instanceMetadataTags === 'enabled') {
      checkMetadataTags((await this.#deps.state.tags.of(scope.accountId, [id])).get(id)!)
    }
    await this.modify(scope, id, options)
    // How far answers travel is the network's to enforce.
    await applyVpc(this.#deps, (await this.get(scope, id)).vpcId)
  }

  async setSourceDestCheck(scope: Scope, id: string, sourceDestCheck: 0 | 1): Promise<void> {
    const { state } = this.#deps
    refuseEnded(await this.get(scope, id))
    const [nic] = await state.networks.interfacesOf([id])
    if (nic) await state.networks.updateInterface(nic.id, { sourceDestCheck })
  }

  async setGroups(scope: Scope, id: string, groupIds: readonly string[]): Promise<void> {
    const { state } = this.#deps
    const instance = await this.get(scope, id)
    checkGroupCount(groupIds)
    const groups = await state.networks.securityGroups(groupIds)
    for (const groupId of groupIds) {
      const group = groups.find((row) => row.id === groupId && row.vpcId === instance.vpcId)
      if (!group) throw new KilnError('InvalidGroup.NotFound', `The security group '${groupId}' does not exist`)
    }
    const [nic] = await state.networks.interfacesOf([id])
    if (!nic) throw new KilnError('IncorrectInstanceState', `The instance '${id}' has no network interface`)
    await state.transaction((tx) => tx.networks.setInterfaceGroups(nic.id, [...new Set(groupIds)]))
    await applyVpc(this.#deps, instance.vpcId)
  }

  /** Changes what happens to attached volumes at termination, by device name. */
  async setDeleteOnTermination(
    scope: Scope,
    id: string,
    wishes: readonly { deviceName: string; deleteOnTermination: boolean }[],
  ): Promise<void> {
    const { state } = this.#deps
    await this.get(scope, id)
    const attachments = await state.volumes.attachmentsOfInstances([id])
    await state.transaction(async (tx) => {
      for (const { deviceName, deleteOnTermination } of wishes) {
        const attachment = attachments.find((row) => row.deviceName === deviceName)
        if (!attachment) {
          throw new KilnError(
            'InvalidInstanceAttributeValue',
            `No device is currently mapped at ${deviceName} (BlockDeviceMapping.DeviceName)`,
          )
        }
        const patch = { deleteOnTermination: deleteOnTermination ? 1 : 0 } as const
        await tx.volumes.updateAttachment(attachment.volumeId, id, patch)
      }
    })
  }
}

function refuseEnded({ id, state }: Instance): void {
  if (state !== 'terminated' && state !== 'shutting-down') return
  throw new KilnError('IncorrectInstanceState', `The instance '${id}' is ${state} and cannot be modified`)
}

const notFound = (ids: readonly string[]) =>
  new KilnError(
    'InvalidInstanceID.NotFound',
    ids.length === 1
      ? `The instance ID '${ids[0]}' does not exist`
      : `The instance IDs '${ids.join(', ')}' do not exist`,
  )

const screenless = ({ kind }: Pick<MachineDriver, 'kind'>) =>
  kind === 'simulated'
    ? 'it is simulated'
    : 'it was started by an older Kiln, and gets one when it is stopped and started'
