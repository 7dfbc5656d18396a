/**
 * One run of an instance's machine, from power-on to power-off. Everything here is done under the instance's lock, so a
 * snapshot never freezes a disk that is just being opened.
 */
import { waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { OperationFailure } from '../../operations/operation.ts'
import type { Instance } from '../../state/instances.ts'
import type { NetworkInterface } from '../../state/networks.ts'
import type { CloudDeps } from '../deps.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { applyVpc } from '../network/plan.ts'
import type { MachineSpec } from '../ports.ts'
import type { VolumeDisks } from '../volumes/volume-disks.ts'
import { instanceTypes, machineSize } from './instance-types.ts'
import { keyReason } from './key-reason.ts'
import { enqueueStop } from './stop-operation.ts'
import { enqueueTermination } from './terminate-operation.ts'

const pollMs = 50
const pressAgainMs = 3000

export interface PowerOff {
  /** How long the guest may take; with 0 the plug is pulled at once. */
  graceMs: number
  signal: AbortSignal
  /** Asked while the guest takes its time: true leaves it to whoever wants something else of it now. */
  isCancelled?: () => Promise<boolean>
}

export class MachineRuns {
  readonly #deps: CloudDeps
  readonly #disks: VolumeDisks
  readonly #instanceDisks: InstanceDisks

  constructor(deps: CloudDeps, disks: VolumeDisks, instanceDisks: InstanceDisks) {
    this.#deps = deps
    this.#disks = disks
    this.#instanceDisks = instanceDisks
  }

  /** Disks, network, power. Finding the machine running already is success. */
  async powerOn(instance: Instance): Promise<void> {
    await this.#deps.locks.hold(instance.id, () => this.#powerOnHeld(instance))
  }

  async #powerOnHeld(instance: Instance): Promise<void> {
    const { machines, network } = this.#deps
    await applyVpc(this.#deps, instance.vpcId)
    const [primary, ...more] = await this.#nicsOf(instance)
    const plug = async (nic: NetworkInterface) => ({
      ...{ index: nic.deviceIndex!, mac: nic.mac },
      attachment: await network.attachment(instance.vpcId, nic.id),
    })
    await machines.start({
      id: instance.id,
      ...this.#sizeOf(instance),
      instanceType: instance.instanceType,
      disks: await this.#disksOf(instance),
      nic: await plug(primary),
      moreNics: await Promise.all(more.map(plug)),
    })
  }

  #sizeOf(instance: Instance): { vcpus: number; memoryMib: number } {
    const type = instanceTypes.get(instance.instanceType)
    if (!type) throw new OperationFailure(`instance type ${instance.instanceType} is not known`)
    return machineSize(type, this.#deps.host)
  }

  async #nicsOf(instance: Instance): Promise<[NetworkInterface, ...NetworkInterface[]]> {
    const all = await this.#deps.state.networks.interfacesOf([instance.id])
    // A card that is to go is not plugged in again.
    const [primary, ...more] = all.filter((nic) => nic.attachmentState !== 'detaching')
    if (!primary) throw new OperationFailure(`instance ${instance.id} has no network interface`)
    return [primary, ...more]
  }

  async #disksOf(instance: Instance): Promise<MachineSpec['disks']> {
    const { state } = this.#deps
    const all = await state.volumes.attachmentsOfInstances([instance.id])
    // A disk that is to go is not plugged in again.
    const attachments = all.filter(({ state: is }) => is === 'attaching' || is === 'attached')
    const volumes = await Promise.all(attachments.map(({ volumeId, slot }) => this.#disks.machineDisk(volumeId, slot)))
    return [...volumes, ...(await this.#instanceDisks.machineDisks(instance.id))].sort((a, b) => a.slot - b.slot)
  }

  /** Asks the guest to switch itself off, waits, pulls the plug. */
  async powerOff(instanceId: string, how: PowerOff): Promise<void> {
    await this.#deps.locks.hold(instanceId, () => this.#powerOffHeld(instanceId, how))
  }

  async #powerOffHeld(instanceId: string, { graceMs, signal, isCancelled }: PowerOff): Promise<void> {
    const { machines, clock } = this.#deps
    if (graceMs > 0 && (await machines.inspect(instanceId)).state === 'running') {
      let pressedAt = Number.NEGATIVE_INFINITY
      const ended = async () => {
        if ((await machines.inspect(instanceId)).state !== 'running') return 'off'
        if (await isCancelled?.()) return 'cancelled'
        // A guest that is still booting does not hear its button.
        if (clock.now() - pressedAt >= pressAgainMs) {
          pressedAt = clock.now()
          await machines.pressPowerButton(instanceId)
        }
        return undefined
      }
      if ((await waitFor(clock, ended, { everyMs: pollMs, timeoutMs: graceMs, signal })) === 'cancelled') return
    }
    await machines.destroy(instanceId)
  }

  /**
   * Shuts the guest down in an orderly way, does something while nothing writes to its disks, and starts it again, if it
   * still ought to run by then. Reconcilers leave the instance alone meanwhile. Repeat after a crash with the same
   * `holder`, or end it with {@link letGo}.
   */
  async betweenRuns(instanceId: string, holder: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { state, locks, timing } = this.#deps
    await locks.hold(instanceId, async () => {
      await state.instances.move(instanceId, ['running'], { heldBy: holder })
      await this.#powerOffHeld(instanceId, { graceMs: timing.shutdownGraceMs, signal })
      await work()
      const instance = await state.instances.get(instanceId)
      if (instance?.state === 'running') {
        await this.#powerOnHeld(instance)
        const initializing = { reachability: 'initializing', reachabilityAt: this.#deps.clock.now() } as const
        await state.instances.move(instanceId, ['running'], initializing)
      }
      await this.#release(instanceId, holder)
    })
  }

  /** Ends what {@link betweenRuns} could not finish: the instance runs again, or ends its run with the reason. */
  async letGo(instanceId: string, holder: string): Promise<void> {
    await this.#deps.locks.hold(instanceId, async () => {
      const instance = await this.#deps.state.instances.get(instanceId)
      if (instance?.heldBy !== holder) return
      if (instance.state === 'running') {
        await this.#powerOnHeld(instance).catch((error) => this.#stopWith(instance, error))
      }
      await this.#release(instanceId, holder)
    })
  }

  /** The instance stops, or ends if it cannot be stopped, and says why it did not come up again. */
  async #stopWith(instance: Instance, error: unknown): Promise<void> {
    const { state, operations, log } = this.#deps
    log.error({ err: error, instance: instance.id }, 'the instance did not come up again')
    const reason = (await keyReason(this.#deps, instance.id)) ?? {
      stateReasonCode: 'Server.InternalError',
      stateReasonMessage: `Server.InternalError: power-on: ${messageOf(error)}`,
      stateTransitionReason: 'Server.InternalError',
    }
    await state.transaction(async (tx) => {
      const terminates = instance.rootDeviceType === 'instance-store'
      const next = terminates ? 'shutting-down' : 'stopping'
      if (!(await tx.instances.move(instance.id, ['running'], { ...reason, state: next }))) return
      if (terminates) await enqueueTermination(this.#deps, tx, instance)
      else await enqueueStop(this.#deps, tx, instance, { force: true })
    })
    operations.wake()
  }

  async #release(instanceId: string, holder: string): Promise<void> {
    const instance = await this.#deps.state.instances.get(instanceId)
    if (instance?.heldBy === holder) await this.#deps.state.instances.update(instanceId, { heldBy: null })
  }
}
