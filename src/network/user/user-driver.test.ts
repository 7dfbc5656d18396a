import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { endProcess, run, startDetached } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import { networkDriverSuite, nicPlan, tcp, vpcPlan } from '../driver.suite.ts'
import { createUserDriver, netdevOptions } from './user-driver.ts'

function createIn(base: string) {
  return createUserDriver({
    networksDir: join(base, 'networks'),
    runDir: join(base, 'run'),
    metadataSocketPath: join(base, 'imds'),
    apiSocketPath: join(base, 'api'),
    log: silentLog,
    random: systemRandom,
  })
}

networkDriverSuite('user', async () => {
  const base = await mkdtemp(join(tmpdir(), 'kiln-user-'))
  return { create: () => createIn(base), dispose: () => rm(base, { recursive: true }) }
})

describe('a machine on user networking', () => {
  let base: string
  let driver: ReturnType<typeof createUserDriver>

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'kiln-user-'))
    driver = createIn(base)
  })

  afterEach(async () => {
    await driver.apply(vpcPlan([]))
    await driver.close()
    await rm(base, { recursive: true })
  })

  it('is started by QEMU with the open ports of its public address', async () => {
    const publicIp = await driver.allocatePublicIp(new Set())
    const nic = nicPlan(10, [tcp(22), tcp(8080), tcp(9000, '10.0.0.0/8')], { publicIp })
    await driver.apply(vpcPlan([nic]))
    const attachment = await driver.attachment(vpcPlan([]).id, nic.id)
    if (attachment.kind !== 'user') throw new Error('not a user attachment')
    const said = await run(
      'qemu-system-x86_64',
      ['-S', '-machine', 'q35', '-display', 'none', '-monitor', 'stdio', '-netdev', `user,id=n0,${attachment.options}`],
      { input: 'info usernet\nquit\n' },
    )
    const forwards = said
      .split('\n')
      .flatMap((line) => (line.includes('HOST_FORWARD') ? [line.trim().split(/\s+/)] : []))
    expect(forwards.map(([, , address, port, guest]) => `${address}:${port} ${guest}`).sort()).toEqual([
      `${publicIp}:22 172.31.0.10`,
      `${publicIp}:8080 172.31.0.10`,
    ])
  })

  it('leaves out a port that another program has', async () => {
    const publicIp = await driver.allocatePublicIp(new Set())
    const other = createTcpServer()
    await new Promise<void>((resolve) => other.listen({ host: publicIp, port: 8080 }, resolve))
    const nic = nicPlan(10, [tcp(22), tcp(8080)], { publicIp })
    await driver.apply(vpcPlan([nic]))
    const attachment = await driver.attachment(vpcPlan([]).id, nic.id)
    expect(attachment).toMatchObject({ options: expect.stringContaining(`hostfwd=tcp:${publicIp}:22-`) })
    expect(attachment).not.toMatchObject({ options: expect.stringContaining(':8080-') })
    await new Promise((resolve) => other.close(resolve))
  })

  // The guest is the network card's own boot program (iPXE): it takes a lease and fetches its boot file over HTTP.
  // It sleeps for 16 s of its 19, waiting for an IPv6 router that a VPC does not have.
  it('gets its planned address and its metadata, known by the address', async () => {
    const nic = nicPlan(10, [])
    const asked = new Promise<IncomingMessage>((resolve) => {
      const imds = createServer((incoming, outgoing) => {
        resolve(incoming)
        outgoing.end(() => imds.close())
      }).listen(join(base, 'imds'))
    })
    await driver.apply(vpcPlan([nic]))
    const attachment = await driver.attachment(vpcPlan([]).id, nic.id)
    if (attachment.kind !== 'user') throw new Error('not a user attachment')
    expect(await driver.answer(vpcPlan([]).id, nic.privateIp)).toBe('silent')
    const netdev = `user,id=n0,${attachment.options},bootfile=http://169.254.169.254/latest/meta-data/instance-id`
    const machine = ['-machine', 'q35', '-nodefaults', '-display', 'none', '-boot', 'n', '-netdev', netdev]
    const qemu = await startDetached(
      'qemu-system-x86_64',
      [...machine, '-device', `virtio-net-pci,netdev=n0,mac=${nic.mac}`],
      { logPath: join(base, 'qemu.log') },
    )
    try {
      const request = await asked
      expect(request.url).toBe('/latest/meta-data/instance-id')
      expect(request.headers).toMatchObject({ 'x-kiln-vpc': vpcPlan([]).id, 'x-kiln-source-ip': '172.31.0.10' })
      expect(await driver.answer(vpcPlan([]).id, nic.privateIp)).toBe('refuses')
    } finally {
      await endProcess(qemu, 0)
    }
  })

  it('is refused where metadata cannot be had', async () => {
    const nic = nicPlan(10, [], { privateIp: '10.0.0.10', subnetCidr: '10.0.0.0/24' })
    await expect(driver.apply(vpcPlan([nic]))).rejects.toThrow('10.0.0.0/24')
    expect(netdevOptions(vpcPlan([]), nicPlan(10, []), [], { metadata: '/run/x', api: '/run/y' })).toContain(
      'net=168.0.0.0/5,',
    )
  })
})
