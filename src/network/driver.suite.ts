/** What every network driver does. A driver's own tests adopt it with a harness that makes fresh drivers in one home. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addressNumber } from './addresses.ts'
import type { DhcpPlan, NetworkDriver, NicPlan, TrafficRule, VpcPlan } from './driver.ts'

export interface NetworkHarness {
  /** A driver as a newly started daemon would make it: called again, it finds the same home. */
  create(): NetworkDriver
  dispose(): Promise<void>
}

export const anywhere: TrafficRule = { protocol: 'all', fromPort: -1, toPort: -1, peers: ['0.0.0.0/0'] }

export function tcp(port: number, ...peers: string[]): TrafficRule {
  return { protocol: 'tcp', fromPort: port, toPort: port, peers: peers.length > 0 ? peers : ['0.0.0.0/0'] }
}

/** The interface of 172.31.0.`number`, or with `subnet` 172.31.`subnet`.`number`; it may send anything anywhere. */
export function nicPlan(
  number: number,
  ingress: readonly TrafficRule[],
  change: Partial<NicPlan> & { subnet?: number } = {},
): NicPlan {
  const { subnet = 0, ...rest } = change
  const digits = (subnet * 256 + number).toString(16).padStart(17, '0')
  return {
    id: `eni-${digits}`,
    instanceId: `i-${digits}`,
    mac: `0a:00:00:00:${hexByte(subnet)}:${hexByte(number)}`,
    privateIp: `172.31.${subnet}.${number}`,
    subnetCidr: `172.31.${subnet - (subnet % 16)}.0/20`,
    hostname: `ip-172-31-${subnet}-${number}`,
    publicIp: null,
    ingress,
    egress: [anywhere],
    ...rest,
  }
}

export const vpcDhcp: DhcpPlan = {
  domainName: 'eu-west-1.compute.internal',
  nameServers: ['resolver'],
  ...{ ntpServers: [], netbiosNameServers: [], netbiosNodeType: null },
}

export function vpcPlan(nics: readonly NicPlan[], id = 'vpc-0123456789abcdef0', more: Partial<VpcPlan> = {}): VpcPlan {
  return { id, cidr: '172.31.0.0/16', dhcp: vpcDhcp, borders: [], nics, ...more }
}

function hexByte(number: number): string {
  return number.toString(16).padStart(2, '0')
}

export function networkDriverSuite(name: string, makeHarness: () => Promise<NetworkHarness>): void {
  describe(`${name} network driver`, () => {
    let harness: NetworkHarness
    let driver: NetworkDriver
    const one = nicPlan(10, [anywhere])
    const two = nicPlan(11, [tcp(22)], { subnet: 16 })
    const plan = vpcPlan([one, two])

    beforeEach(async () => {
      harness = await makeHarness()
      driver = harness.create()
    })

    afterEach(async () => {
      for (const vpcId of await driver.list()) await driver.apply(vpcPlan([], vpcId))
      await driver.close()
      await harness.dispose()
    })

    it('says of this host that it can', async () => {
      const { ok, detail } = await driver.probe()
      expect(ok, detail).toBe(true)
      expect(detail).not.toBe('')
    })

    it('makes a VPC, again and again, and lists it', async () => {
      expect(await driver.list()).toEqual([])
      await driver.apply(plan)
      const first = await driver.attachment(plan.id, one.id)
      await driver.apply(plan)
      expect(await driver.attachment(plan.id, one.id)).toEqual(first)
      expect(await driver.list()).toEqual([plan.id])
    })

    it('attaches only what is in the plan applied last', async () => {
      await expect(driver.attachment(plan.id, one.id)).rejects.toThrow(plan.id)
      await driver.apply(plan)
      await driver.attachment(plan.id, two.id)
      await driver.apply(vpcPlan([one]))
      await expect(driver.attachment(plan.id, two.id)).rejects.toThrow(two.id)
      await expect(driver.attachment('vpc-0ffffffffffffffff', one.id)).rejects.toThrow('vpc-0ffffffffffffffff')
    })

    it('has nothing left of a VPC without interfaces', async () => {
      await driver.apply(plan)
      await driver.apply(vpcPlan([]))
      await driver.apply(vpcPlan([]))
      expect(await driver.list()).toEqual([])
      await expect(driver.attachment(plan.id, one.id)).rejects.toThrow()
      await driver.apply(plan)
      await driver.attachment(plan.id, one.id)
    })

    it('brings plans that come at once to the last of them', async () => {
      await Promise.all([driver.apply(plan), driver.apply(vpcPlan([])), driver.apply(vpcPlan([two]))])
      await driver.attachment(plan.id, two.id)
      await expect(driver.attachment(plan.id, one.id)).rejects.toThrow(one.id)
    })

    it('keeps VPCs apart', async () => {
      const same = { ...one, id: 'eni-0fedcba9876543210' }
      const other = vpcPlan([same], 'vpc-0fedcba9876543210')
      await Promise.all([driver.apply(plan), driver.apply(other)])
      expect((await driver.list()).sort()).toEqual([plan.id, other.id].sort())
      await driver.apply(vpcPlan([]))
      expect(await driver.list()).toEqual([other.id])
      await driver.attachment(other.id, same.id)
    })

    it('does not reach an address that nobody has', async () => {
      expect(await driver.answer(plan.id, '172.31.0.99')).toBe('silent')
      await driver.apply(plan)
      expect(await driver.answer(plan.id, '172.31.0.99')).toBe('silent')
    })

    it('gives public addresses of 127.0.0.0/8 that are free', async () => {
      const taken = new Set<string>()
      for (let count = 0; count < 50; count++) {
        const address = await driver.allocatePublicIp(taken)
        expect(taken.has(address)).toBe(false)
        expect(addressNumber(address) >>> 24).toBe(127)
        expect(address).not.toMatch(/^127\.(0|127)\.|\.(0|1|255)$/)
        taken.add(address)
      }
      expect(new Set([...taken].map((address) => address.split('.')[1])).size).toBe(1)
    })
  })
}
