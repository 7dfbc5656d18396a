/** A VPC in a namespace, and guests in it, for tests: made before each of them, and found to be gone after it. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { systemRandom } from '../../lib/random.ts'
import { vpcPlan } from '../driver.suite.ts'
import type { NetworkDriver, NicPlan } from '../driver.ts'
import { TestGuest } from './guest.fixture.ts'
import { markedProcesses } from './host-programs.ts'
import { tapName } from './links.ts'
import { createNamespaceDriver } from './namespace-driver.ts'
import { VpcFolder, type VpcRecord } from './vpc-folder.ts'

export const vpcId = vpcPlan([]).id

export function createIn(base: string, egress: 'slirp' | 'none' = 'none'): NetworkDriver {
  return createNamespaceDriver({
    networksDir: join(base, 'networks'),
    runDir: join(base, 'run'),
    metadataSocketPath: join(base, 'imds'),
    apiSocketPath: join(base, 'api'),
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    egress,
  })
}

/** Whether the host allows namespaces, and what to call the tests then. */
export async function namespacesHere(): Promise<{ ok: boolean; name: string }> {
  const { ok, detail } = await createIn(tmpdir()).probe()
  return { ok, name: ok ? 'this host' : `not on this host (${detail})` }
}

export interface TestVpc {
  base: string
  /** A test may put another in its place, as a restarted daemon would. */
  driver: NetworkDriver
  guests: TestGuest[]
  /** Applies the plan and joins a guest to each interface, with the addresses that it should have. */
  bringUp(...nics: NicPlan[]): Promise<TestGuest[]>
  record(): Promise<VpcRecord>
  /** The way into the VPC's namespace. */
  enter(): Promise<readonly string[]>
}

export function useVpc(): TestVpc {
  const vpc: TestVpc = {
    base: '',
    driver: createIn(''),
    guests: [],
    async bringUp(...nics) {
      await vpc.driver.apply(vpcPlan(nics))
      for (const nic of nics) {
        const attachment = await vpc.driver.attachment(vpcId, nic.id)
        if (attachment.kind !== 'tap') throw new Error('not a tap')
        expect(attachment.ifname).toBe(tapName(nic.id))
        vpc.guests.push(await TestGuest.join(nic, attachment.enter, join(vpc.base, 'guests')))
      }
      await vpc.driver.apply(vpcPlan(nics))
      await Promise.all(vpc.guests.map((guest) => guest.configure()))
      return vpc.guests
    },
    async record() {
      return (await new VpcFolder(join(vpc.base, 'networks'), join(vpc.base, 'run'), vpcId).read())!
    },
    async enter() {
      const nicId = (await vpc.record()).nicIds[0]!
      const attachment = await vpc.driver.attachment(vpcId, nicId)
      if (attachment.kind !== 'tap') throw new Error('not a tap')
      return attachment.enter
    },
  }

  beforeEach(async () => {
    vpc.base = await mkdtemp(join(tmpdir(), 'kiln-net-'))
    await mkdir(join(vpc.base, 'guests'))
    vpc.driver = createIn(vpc.base)
    vpc.guests = []
  })

  afterEach(async () => {
    await Promise.all(vpc.guests.map((guest) => guest.end()))
    await vpc.driver.apply(vpcPlan([]))
    await vpc.driver.close()
    const folder = join(vpc.base, 'networks', vpcId)
    expect(markedProcesses(folder)).toEqual([])
    expect(existsSync(folder)).toBe(false)
    expect(await readdir(join(vpc.base, 'run')).catch(() => [])).toEqual([])
    await rm(vpc.base, { recursive: true })
  })
  return vpc
}
