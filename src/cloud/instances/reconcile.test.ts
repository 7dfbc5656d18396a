/** What the reconciler of machines must not do: judge an instance by what it saw in the middle of work on it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestCloud, placeInstance, type TestCloud } from '../../../test/support/test-cloud.ts'
import type { CloudDeps } from '../deps.ts'
import { Metering } from '../metering/metering.ts'
import { reconcileMachines } from './reconcile.ts'

const scope = { accountId: '000000000001', region: 'eu-west-1' }
let testCloud: TestCloud
let deps: CloudDeps
beforeAll(async () => {
  testCloud = await openTestCloud()
  deps = testCloud.deps
})
afterAll(() => testCloud.close())

const place = async (hostNumber: number) =>
  (await placeInstance(testCloud, scope, { groupIds: [], hostNumber })).instanceId
const stateOf = async (id: string) => (await deps.state.instances.get(id))!.state

test('a running instance whose machine is gone stops', async () => {
  const id = await place(20)
  await reconcileMachines(deps, new Metering(deps))
  expect(await stateOf(id)).toBe('stopping')
})

test('an instance that somebody began to reboot while its machine was looked at keeps running', async () => {
  const id = await place(21)
  const inspect = async () => {
    await deps.state.instances.update(id, { heldBy: 'op-1' })
    return { state: 'absent' } as const
  }
  await reconcileMachines({ ...deps, machines: { ...deps.machines, inspect } }, new Metering(deps))
  expect(await stateOf(id)).toBe('running')
})

test('no machine is looked at in the middle of work on it', async () => {
  const id = await place(22)
  let looked = false
  const inspect = async () => {
    looked = true
    return { state: 'absent' } as const
  }
  await deps.locks.hold(id, () =>
    reconcileMachines({ ...deps, machines: { ...deps.machines, inspect } }, new Metering(deps)),
  )
  expect([looked, await stateOf(id)]).toEqual([false, 'running'])
  const machines = {
    ...deps.machines,
    async inspect() {
      expect(deps.locks.isHeld(id)).toBe(true)
      return { state: 'running', pid: null } as const
    },
  }
  await reconcileMachines({ ...deps, machines }, new Metering(deps))
})

test('a stray machine is switched off, one whose instance was started since then is not', async () => {
  const [stray, started] = [await place(23), await place(24)]
  for (const id of [stray, started]) await deps.state.instances.update(id, { state: 'stopped' })
  const ended: string[] = []
  const machines = {
    ...deps.machines,
    list: async () => [stray, started],
    async destroy(id: string) {
      ended.push(id)
      // While this one takes its time, the other is started.
      await deps.state.instances.update(started, { state: 'pending' })
    },
  }
  await reconcileMachines({ ...deps, machines }, new Metering(deps))
  expect(ended).toEqual([stray])
})
