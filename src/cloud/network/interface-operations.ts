/** The work behind AttachNetworkInterface and DetachNetworkInterface: a card comes to a running guest, or goes. */
import type { OperationKind } from '../../operations/operation.ts'
import type { NetworkInterface } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { applyVpc } from './plan.ts'

export interface InterfaceInput {
  attachmentId: string
}

export interface DetachInterfaceInput extends InterfaceInput {
  force: boolean
}

export const attachInterfaceKind = 'attach-interface'
export const detachInterfaceKind = 'detach-interface'

/** While an instance starts, or while its guest does not let go of a card. */
const lookAgainMs = 500

export function attachInterfaceOperation(deps: CloudDeps): OperationKind<InterfaceInput, unknown> {
  const { state, machines, network, locks } = deps
  return {
    kind: attachInterfaceKind,
    lane: 'volumes',
    steps: [
      {
        name: 'plug',
        async run({ input: { attachmentId } }) {
          const found = await state.networks.attachedAs(attachmentId)
          // Terminated meanwhile: that has let go of the interface.
          if (!found) return
          return await locks.hold(found.instanceId!, async () => {
            const nic = await state.networks.attachedAs(attachmentId)
            const instance = nic && (await state.instances.get(nic.instanceId!))
            if (nic?.attachmentState !== 'attaching' || !instance) return
            if (instance.state === 'pending') return { againInMs: lookAgainMs }
            // One that does not run gets the card when it is started.
            if (instance.state !== 'running') return
            if ((await machines.inspect(instance.id)).state === 'absent') return { againInMs: lookAgainMs }
            await applyVpc(deps, nic.vpcId)
            const attachment = await network.attachment(nic.vpcId, nic.id)
            await machines.plugNic(instance.id, { index: nic.deviceIndex!, mac: nic.mac, attachment })
          })
        },
      },
      {
        name: 'attached',
        async run({ input: { attachmentId } }) {
          const nic = await state.networks.attachedAs(attachmentId)
          if (nic?.attachmentState !== 'attaching') return
          await state.networks.updateInterface(nic.id, { attachmentState: 'attached' })
        },
      },
    ],
    async fail({ input: { attachmentId }, log }, { step, message }) {
      log.error({ step, message }, 'the network interface could not be attached')
      await letGo(deps, attachmentId)
    },
  }
}

export function detachInterfaceOperation(deps: CloudDeps): OperationKind<DetachInterfaceInput, unknown> {
  const { state, machines, locks } = deps
  return {
    kind: detachInterfaceKind,
    lane: 'volumes',
    steps: [
      {
        name: 'unplug',
        async run({ input: { attachmentId, force } }) {
          const nic = await state.networks.attachedAs(attachmentId)
          if (!nic) return
          const isGone = await locks.hold(nic.instanceId!, async () => {
            if ((await machines.inspect(nic.instanceId!)).state === 'absent') return true
            return await machines.unplugNic(nic.instanceId!, nic.deviceIndex!, { force })
          })
          return isGone ? undefined : { againInMs: lookAgainMs }
        },
      },
      { name: 'detached', run: ({ input: { attachmentId } }) => letGo(deps, attachmentId) },
    ],
    async fail({ input: { attachmentId }, log }, { step, message }) {
      // It is still the guest's: what was asked for did not happen.
      log.error({ step, message }, 'the network interface could not be detached')
      const nic = await state.networks.attachedAs(attachmentId)
      if (nic) await state.networks.updateInterface(nic.id, { attachmentState: 'attached' })
    },
  }
}

async function letGo(deps: CloudDeps, attachmentId: string): Promise<void> {
  const nic = await deps.state.networks.attachedAs(attachmentId)
  if (!nic) return
  await freeInterface(deps.state, nic)
  await applyVpc(deps, nic.vpcId)
}

/** No instance has it any more. An address that is not elastic is given back. */
export async function freeInterface(state: Repositories, nic: NetworkInterface): Promise<void> {
  const unattached = {
    instanceId: null,
    attachmentId: null,
    attachedAt: null,
    deviceIndex: null,
    attachmentState: null,
  }
  const publicIp = nic.allocationId === null ? null : nic.publicIp
  await state.networks.updateInterface(nic.id, { ...unattached, publicIp, deleteOnTermination: 0 })
}
