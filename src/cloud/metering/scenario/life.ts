/**
 * Lives through a scenario: everything that it has begins, changes and ends in the state, in the order of time, and is
 * metered by that as it would be in a cloud. Time is given, and moved on from one event to the next.
 */
import { newId } from '../../../lib/ids.ts'
import type { Random } from '../../../lib/random.ts'
import type { Repositories, State } from '../../../state/state.ts'
import { daySeconds } from '../../../state/usage/usage-time.ts'
import { instanceRow, interfaceRow, layerRow, type RowPlace, snapshotRow, volumeRow } from './rows.ts'
import type { Scenario, ScenarioInstance, ScenarioVolume, SnapshotPlan } from './scenario.ts'

/** Whose the scenario is. */
export const scenarioAccount = '000000000000'

interface Event {
  atS: number
  happen(tx: Repositories, place: RowPlace): Promise<void>
}

export interface LifeDeps {
  state: State
  random: Random
  /** Moves the clock that the state meters by to that time (ms). */
  reach(timeMs: number): void
}

/** Resolves to the names of the scenario's resources by their ids. */
export async function liveThrough(
  { state, random, reach }: LifeDeps,
  scenario: Scenario,
): Promise<Map<string, string>> {
  const plan = new Plan(scenario, random)
  for (const instance of scenario.instances) plan.addInstance(instance)
  for (const volume of scenario.volumes) plan.addVolume(volume)
  for (const { atS, happen } of plan.inOrder()) {
    reach(atS * 1000)
    const place = { accountId: scenarioAccount, region: scenario.region, nowMs: atS * 1000 }
    await state.transaction((tx) => happen(tx, place))
  }
  reach(scenario.toS * 1000)
  return plan.names
}

class Plan {
  readonly names = new Map<string, string>()
  readonly #scenario: Scenario
  readonly #random: Random
  readonly #events: Event[] = []

  constructor(scenario: Scenario, random: Random) {
    this.#scenario = scenario
    this.#random = random
  }

  /** What is to happen at the same time happens in the order in which it was planned. */
  inOrder(): Event[] {
    return this.#events.filter(({ atS }) => atS < this.#scenario.toS).sort((a, b) => a.atS - b.atS)
  }

  #name(kind: 'instance' | 'volume' | 'snapshot' | 'networkInterface', name: string): string {
    const id = newId(kind, this.#random)
    this.names.set(id, name)
    return id
  }

  #at(atS: number, happen: Event['happen']): void {
    this.#events.push({ atS, happen })
  }

  addInstance(instance: ScenarioInstance): void {
    const { name, root, runs, publicAddress, tags } = instance
    const [id, nic] = [this.#name('instance', name), this.#name('networkInterface', `${name} address`)]
    // Nobody dials it: it only has to be nobody else's.
    const publicIp = publicAddress ? nic : null
    runs.forEach(({ fromS, toS }, index) => {
      this.#at(fromS, async (tx, place) => {
        if (index === 0) {
          await tx.instances.insert([instanceRow(id, instance, place)])
          await tx.networks.insertInterfaces([interfaceRow(nic, { instanceId: id, publicIp }, place)], [])
          await putTags(tx, { id, type: 'instance', tags }, place)
          return
        }
        await tx.instances.update(id, { state: 'running' })
        await tx.networks.updateInterface(nic, { publicIp })
      })
      this.#at(toS, async (tx) => {
        await tx.instances.update(id, { state: root ? 'stopped' : 'terminated' })
        await tx.networks.updateInterface(nic, { publicIp: null })
      })
    })
    if (root) this.addVolume({ ...root, fromS: Math.max(root.fromS, runs[0]?.fromS ?? root.fromS) })
  }

  addVolume(volume: ScenarioVolume): void {
    const { name, fromS, toS, snapshots, tags } = volume
    const id = this.#name('volume', name)
    this.#at(fromS, async (tx, place) => {
      await tx.volumes.insert(volumeRow(id, volume, place), layerRow(id))
      await putTags(tx, { id, type: 'volume', tags }, place)
    })
    this.#at(toS, (tx) => tx.volumes.remove(id))
    if (!snapshots) return
    this.#addSnapshots(id, volume, snapshots, this.#scenario.region)
    if (snapshots.copyTo) this.#addSnapshots(id, volume, snapshots, snapshots.copyTo)
  }

  #addSnapshots(volumeId: string, volume: ScenarioVolume, plan: SnapshotPlan, region: string): void {
    const { dataBytes, changedBytes, keep } = plan
    const kept: string[] = []
    const midnight = Math.floor(volume.fromS / daySeconds) * daySeconds
    const end = Math.min(volume.toS, this.#scenario.toS)
    let number = 0
    for (let atS = midnight + plan.atS; atS < end; atS += daySeconds) {
      if (atS <= volume.fromS) continue
      const what = region === this.#scenario.region ? 'snapshot' : 'copy'
      const id = this.#name('snapshot', `${volume.name} ${what} ${++number}`)
      this.#at(atS, async (tx, place) => {
        const parentId = kept.at(-1) ?? null
        const chargedBytes = parentId === null ? dataBytes : changedBytes
        const about = { volumeId, sizeGib: volume.sizeGib, dataBytes, chargedBytes, parentId }
        await tx.snapshots.insert(snapshotRow(id, about, { ...place, region }))
        await putTags(tx, { id, type: 'snapshot', tags: volume.tags }, { ...place, region })
        kept.push(id)
        if (kept.length <= keep) return
        await tx.snapshots.update(kept.shift()!, { state: 'deleted' })
        // The oldest that is left takes over what all of them have in common.
        await tx.snapshots.update(kept[0]!, { chargeParentId: null, chargedBytes: dataBytes })
      })
    }
  }
}

async function putTags(
  tx: Repositories,
  { id, type, tags }: { id: string; type: string; tags: Readonly<Record<string, string>> },
  { accountId, region }: RowPlace,
): Promise<void> {
  const list = Object.entries(tags).map(([key, value]) => ({ key, value }))
  if (list.length > 0) await tx.tags.put({ id, type, accountId, region }, list)
}
