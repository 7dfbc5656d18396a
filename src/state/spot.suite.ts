/** What the state promises of spot requests and fleets. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { Fleet } from './fleets.ts'
import type { Instance } from './instances.ts'
import { account, other, region } from './snapshots.suite.ts'
import { endedVisibleMs, type SpotRequest } from './spot-requests.ts'
import type { State } from './state.ts'

export function spotTests(state: () => State, instance: (id: string, about: Partial<Instance>) => Instance): void {
  describe('spot requests', () => {
    test('move once from a state, are found by what they ask for, and are forgotten some time after their end', async () => {
      const { spotRequests } = state()
      await spotRequests.insert([request('sir-1'), request('sir-2', { createdAt: 2000, validUntil: 9000 })], {
        'launch.group-id': ['sg-1', 'sg-2', 'sg-1'],
      })
      await spotRequests.insert([request('sir-3', { accountId: other })], { 'launch.group-id': ['sg-1'] })
      const ended = { state: 'closed', endedAt: 5000 } as const
      expect(await spotRequests.move('sir-1', ['open'], { state: 'active', instanceId: 'i-1' })).toBe(true)
      expect(await spotRequests.move('sir-1', ['open'], ended)).toBe(false)
      const found = async (filters: [name: string, value: string][], nowMs = 5000) => {
        const asked = filters.map(([name, value]) => ({ name, values: [value] }))
        const { items } = await spotRequests.list(region, { accountId: account, filters: asked, nowMs })
        return items.map(({ id }) => id)
      }
      expect(await found([['launch.group-id', 'sg-?']])).toEqual(['sir-1', 'sir-2'])
      expect(await found([['instance-id', 'i-1']])).toEqual(['sir-1'])
      expect(await found([['valid-until', '1970-01-01T00:00:09.000Z']])).toEqual(['sir-2'])
      expect(await found([['launch.image-id', 'ami-1']])).toEqual([])
      expect(await spotRequests.move('sir-1', ['active', 'disabled'], ended)).toBe(true)
      expect(await found([], 5000 + endedVisibleMs - 1)).toEqual(['sir-1', 'sir-2'])
      expect(await found([], 5000 + endedVisibleMs)).toEqual(['sir-2'])
    })
  })

  describe('fleets', () => {
    test('know their instances, in the order of their launch, and which of them are spot instances', async () => {
      const { fleets, instances } = state()
      const spot = { spotRequestId: 'sir-1', instanceType: 't3.micro' }
      await instances.insert([instance('i-1', { launchIndex: 1 }), instance('i-2', {}), instance('i-3', spot)])
      const held = [
        ['i-3', 1],
        ['i-1', 0],
        ['i-2', 0],
      ] as const
      await fleets.insert(
        fleet('fleet-1', { fulfilled: 2.5 }),
        held.map(([instanceId, pool]) => ({ fleetId: 'fleet-1', instanceId, pool })),
      )
      await fleets.insert(fleet('fleet-2', { accountId: other, errors: '[{}]' }), [])
      const members = await fleets.instancesOf(['fleet-1', 'fleet-2'])
      expect(members.map((row) => [row.instanceId, row.pool, Number(row.isSpot), row.instanceType])).toEqual([
        ['i-2', 0, 0, 't3.nano'],
        ['i-1', 0, 0, 't3.nano'],
        ['i-3', 1, 1, 't3.micro'],
      ])
      await fleets.update('fleet-1', { state: 'deleted_terminating' })
      expect(await fleets.get('fleet-1')).toMatchObject({ state: 'deleted_terminating', fulfilled: 2.5 })
      const found = async (accountId: string, name: string, value: string) =>
        (await fleets.list(region, { accountId, filters: [{ name, values: [value] }] })).items.map(({ id }) => id)
      expect(await found(account, 'activity-status', 'fulfilled')).toEqual(['fleet-1'])
      expect(await found(other, 'activity-status', 'error')).toEqual(['fleet-2'])
      expect(await found(account, 'type', 'maintain')).toEqual([])
    })
  })
}

function request(id: string, about: Partial<SpotRequest> = {}): SpotRequest {
  return {
    ...{ id, accountId: account, region, type: 'one-time', state: 'open', interruption: 'terminate', maxPrice: null },
    ...{
      statusCode: 'pending-evaluation',
      statusMessage: 'It waits.',
      statusAt: 1000,
      validFrom: null,
      validUntil: null,
    },
    ...{ launch: '{}', specification: '{}', instanceId: null, launchedZone: null, createdAt: 1000, endedAt: null },
    ...about,
  }
}

function fleet(id: string, about: Partial<Fleet> = {}): Fleet {
  return {
    ...{ id, accountId: account, region, state: 'active', clientToken: null, specification: '{}', errors: '[]' },
    ...{ fulfilled: 0, fulfilledOnDemand: 0, createdAt: 1000, ...about },
  }
}
