import { expect, it } from 'vitest'
import { seededRandom } from '../../lib/random.ts'
import { networkDriverSuite, nicPlan, vpcPlan } from '../driver.suite.ts'
import { createSimulatedNetwork } from './simulated-driver.ts'

const create = () => createSimulatedNetwork({ home: '/home/somebody/kiln', random: seededRandom(1) })

networkDriverSuite('simulated', async () => ({ create, dispose: async () => {} }))

it('reaches a planned interface at once, and attaches no device', async () => {
  const driver = create()
  const nic = nicPlan(10, [])
  await driver.apply(vpcPlan([nic]))
  expect(await driver.answer(vpcPlan([]).id, nic.privateIp)).toBe('accepts')
  expect(await driver.attachment(vpcPlan([]).id, nic.id)).toEqual({ kind: 'none' })
})
