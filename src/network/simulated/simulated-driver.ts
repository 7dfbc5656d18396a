/** A network without packets, for simulated machines: it remembers plans for as long as the process lives, and checks them. */
import type { Random } from '../../lib/random.ts'
import type { NetworkDriver, VpcPlan } from '../driver.ts'
import { allocateLoopback } from '../loopback-addresses.ts'

export interface SimulatedNetworkOptions {
  /** The home: public addresses are derived from its path, though nothing listens on them. */
  home: string
  random: Random
}

export function createSimulatedNetwork({ home, random }: SimulatedNetworkOptions): NetworkDriver {
  const plans = new Map<string, VpcPlan>()
  return {
    kind: 'simulated',
    probe: async () => ({ ok: true, detail: 'simulated: no packet moves' }),
    apply: async (plan) => {
      if (plan.nics.length === 0) plans.delete(plan.id)
      else plans.set(plan.id, structuredClone(plan))
    },
    attachment: async (vpcId, nicId) => {
      const nics = plans.get(vpcId)?.nics ?? []
      if (!nics.some((nic) => nic.id === nicId)) throw new Error(`${nicId} is not part of the network of ${vpcId}`)
      return { kind: 'none' }
    },
    answer: async (vpcId, privateIp) =>
      (plans.get(vpcId)?.nics ?? []).some((nic) => nic.privateIp === privateIp) ? 'accepts' : 'silent',
    list: async () => [...plans.keys()],
    allocatePublicIp: (taken) => allocateLoopback(home, taken, random),
    close: async () => {},
  }
}
