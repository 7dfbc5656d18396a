import { describe, expect, it } from 'vitest'
import type { NicAttachment } from '../../network/driver.ts'
import type { MachineDisk, MachineSpec } from '../driver.ts'
import { type HostFacts, machineArguments, machinePaths, machineUuid } from './argv.ts'
import { layerNodeName } from './disk-chain.ts'

const id = 'i-0123456789abcdef0'
const volumeId = 'vol-0123456789abcdef0'
const paths = machinePaths('/run/kiln', '/var/kiln/machines', id)
const emulated: HostFacts = { accelerator: 'tcg', sandbox: true }

function spec(change: Partial<MachineSpec> = {}, attachment: NicAttachment = { kind: 'none' }): MachineSpec {
  const disks = [{ volumeId, slot: 0, chain: { base: null, layers: ['/v/0.qcow2'], key: null } }]
  const nic = { mac: '02:11:22:33:44:55', attachment }
  return { id, vcpus: 2, memoryMib: 512, instanceType: 't3.nano', disks, nic, ...change }
}

/** The values of an option, in order. */
function valuesOf(option: string, args: readonly string[]): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1]!] : []))
}

function nodesOf(disk: Partial<MachineDisk>): Record<string, unknown>[] {
  const disks = [{ volumeId, slot: 0, chain: { base: null, layers: ['/v/0.qcow2'], key: null }, ...disk }]
  return valuesOf('-blockdev', machineArguments(spec({ disks }), paths, emulated)).map((node) => JSON.parse(node))
}

describe('the hardware', () => {
  it('is the same for the same spec', () => {
    expect(machineArguments(spec(), paths, emulated)).toEqual(machineArguments(spec(), paths, emulated))
  })

  it('is what the host can run best', () => {
    const kvm = machineArguments(spec(), paths, { accelerator: 'kvm', sandbox: true })
    expect(valuesOf('-accel', kvm)).toEqual(['kvm'])
    expect(valuesOf('-cpu', kvm)).toEqual(['host'])
    const tcg = machineArguments(spec(), paths, emulated)
    expect(valuesOf('-accel', tcg)).toEqual(['tcg,thread=multi,tb-size=64'])
    expect(valuesOf('-cpu', tcg)).toEqual(['max'])
  })

  it('gives the guest the memory of its type', () => {
    expect(valuesOf('-m', machineArguments(spec({ memoryMib: 1024 }), paths, emulated))).toEqual(['1024M'])
  })

  it('presents itself as EC2 does', () => {
    const uuid = machineUuid(id)
    expect(uuid).toMatch(/^ec2[0-9a-f]{5}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
    expect(machineUuid('i-0123456789abcdef1')).not.toBe(uuid)
    expect(valuesOf('-smbios', machineArguments(spec(), paths, emulated))).toEqual([
      'type=0,vendor=Amazon EC2,version=1.0',
      `type=1,manufacturer=Amazon EC2,product=t3.nano,serial=${uuid},uuid=${uuid}`,
      `type=2,manufacturer=Amazon EC2,asset=${id}`,
      'type=3,manufacturer=Amazon EC2,asset=Amazon EC2',
    ])
  })

  it('lets no text break out of its option', () => {
    const args = machineArguments(spec({ instanceType: 'x,uuid=0' }), machinePaths('/run/a,b', '/m', id), emulated)
    expect(valuesOf('-smbios', args)[1]).toContain('product=x,,uuid=0,serial=')
    expect(valuesOf('-chardev', args)[0]).toContain('path=/run/a,,b/')
  })

  it('has a hot-plug port for every disk and every further network card that an instance may have', () => {
    const ports = valuesOf('-device', machineArguments(spec(), paths, emulated)).filter((device) =>
      device.startsWith('pcie-root-port'),
    )
    expect(ports).toHaveLength(24 + 3)
    expect(ports[9]).toBe('pcie-root-port,id=port9,bus=pcie.0,addr=0x11.1,chassis=10,slot=10')
    expect(ports[24]).toBe('pcie-root-port,id=nicport1,bus=pcie.0,addr=0x13.0,multifunction=on,chassis=25,slot=25')
    expect(new Set(ports.map((port) => /addr=([^,]+)/.exec(port)?.[1])).size).toBe(24 + 3)
  })
})

describe('the network card', () => {
  it('is joined by those that the instance has beside it, each on a port of its own', () => {
    const attachment = { kind: 'tap', ifname: 'tap8', enter: ['nsenter'] } as const
    const moreNics = [{ index: 2, mac: '02:11:22:33:44:66', attachment }]
    const args = machineArguments(spec({ moreNics }), paths, emulated)
    expect(valuesOf('-netdev', args)).toEqual(['tap,id=net2,ifname=tap8,script=no,downscript=no'])
    expect(valuesOf('-device', args)).toContain(
      'virtio-net-pci,id=nic2,netdev=net2,mac=02:11:22:33:44:66,bus=nicport2,romfile=,disable-legacy=on',
    )
  })

  it('joins a tap that is there, and starts no program', () => {
    const args = machineArguments(spec({}, { kind: 'tap', ifname: 'tap7', enter: ['nsenter'] }), paths, emulated)
    expect(valuesOf('-netdev', args)).toEqual(['tap,id=net0,ifname=tap7,script=no,downscript=no'])
    expect(valuesOf('-device', args)).toContain(
      'virtio-net-pci,netdev=net0,mac=02:11:22:33:44:55,bus=pcie.0,addr=0x5,romfile=,disable-legacy=on',
    )
    expect(valuesOf('-sandbox', args)[0]).toContain('spawn=deny')
  })

  it('takes the options of user networking, which may start programs', () => {
    const args = machineArguments(spec({}, { kind: 'user', options: 'net=10.0.0.0/24' }), paths, emulated)
    expect(valuesOf('-netdev', args)).toEqual(['user,id=net0,net=10.0.0.0/24'])
    expect(valuesOf('-sandbox', args)[0]).toContain('elevateprivileges=allow,spawn=allow')
    const bare = machineArguments(spec({}, { kind: 'user', options: '' }), paths, emulated)
    expect(valuesOf('-netdev', bare)).toEqual(['user,id=net0'])
  })

  it('is missing where there is no network', () => {
    const args = machineArguments(spec(), paths, emulated)
    expect(valuesOf('-netdev', args)).toEqual([])
    expect(args.join(' ')).not.toContain('virtio-net')
  })
})

it('a guest finds the port of its agent by the name that agents look for', () => {
  const args = machineArguments(spec(), paths, emulated)
  expect(valuesOf('-chardev', args)).toContain(`socket,id=agent,path=${paths.agentSocket},server=on,wait=off`)
  expect(valuesOf('-device', args)).toContain('virtserialport,bus=serial0.0,chardev=agent,name=org.qemu.guest_agent.0')
})

describe('a disk', () => {
  const layer = (path: string) => layerNodeName(volumeId, path)

  it('shows its volume id, sits in its slot, and pauses the guest when the host fails', () => {
    const disks = [{ volumeId, slot: 3, chain: { base: null, layers: ['/v/0.qcow2'], key: null } }]
    const device = valuesOf('-device', machineArguments(spec({ disks }), paths, emulated)).at(-1)
    const name = 'vol0123456789abcdef0'
    expect(device).toBe(
      `virtio-blk-pci,id=${name},serial=${name},drive=${name}.dev,bus=port3,bootindex=3,werror=stop,rerror=stop`,
    )
  })

  it('stands on nothing but what the chain names', () => {
    expect(nodesOf({})).toEqual([
      {
        driver: 'qcow2',
        'node-name': layer('/v/0.qcow2'),
        discard: 'unmap',
        'detect-zeroes': 'unmap',
        backing: null,
        file: { driver: 'file', 'node-name': `${layer('/v/0.qcow2')}-f`, filename: '/v/0.qcow2', discard: 'unmap' },
      },
      { driver: 'raw', 'node-name': 'vol0123456789abcdef0.dev', discard: 'unmap', file: layer('/v/0.qcow2') },
    ])
  })

  it('is read through its layers from the block server, and keeps what it read', () => {
    const chain = { base: { socketPath: '/s', exportName: 'e,1' }, layers: ['/v/0.qcow2', '/v/1.qcow2'], key: null }
    const [base, lower, top, filter, device] = nodesOf({ chain })
    expect(base).toMatchObject({
      driver: 'nbd',
      server: { type: 'unix', path: '/s' },
      export: 'e,1',
      'read-only': true,
    })
    expect(lower).toMatchObject({ 'node-name': layer('/v/0.qcow2'), backing: base!['node-name'], 'read-only': true })
    expect(top).toMatchObject({ 'node-name': layer('/v/1.qcow2'), backing: layer('/v/0.qcow2') })
    expect(top).not.toHaveProperty('read-only')
    expect(filter).toMatchObject({ driver: 'copy-on-read', file: layer('/v/1.qcow2') })
    expect(device).toMatchObject({ driver: 'raw', file: filter!['node-name'] })
    for (const node of [base, lower, top, filter, device])
      expect(String(node!['node-name']).length).toBeLessThanOrEqual(31)
  })

  it('is read from a file of this host where that holds the whole snapshot, and keeps nothing twice', () => {
    const [base, layerNode, device] = nodesOf({
      chain: { base: { path: '/v/base.raw' }, layers: ['/v/0.qcow2'], key: null },
    })
    const file = { driver: 'file', filename: '/v/base.raw', 'read-only': true, locking: 'off' }
    expect(base).toEqual({ driver: 'raw', 'node-name': 'vol0123456789abcdef0.local', 'read-only': true, file })
    expect(layerNode).toMatchObject({ driver: 'qcow2', backing: base!['node-name'] })
    expect(device).toMatchObject({ driver: 'raw', file: layerNode!['node-name'] })
  })

  it('that is sealed is opened with a secret that the process inherits, in every layer and a local base', () => {
    const key = Buffer.alloc(32, 'k')
    const chain = { base: { path: '/v/base.qcow2' }, layers: ['/v/0.qcow2', '/v/1.qcow2'], key }
    const plain = { base: null, layers: ['/v/2.qcow2'], key: null }
    const disks = [
      { volumeId: 'vol-1', slot: 0, chain: plain },
      { volumeId: 'vol-2', slot: 1, chain },
      { volumeId: 'vol-3', slot: 2, chain: { ...chain, base: { socketPath: '/s', exportName: 'e' } } },
    ]
    const args = machineArguments(spec({ disks }), paths, emulated)
    expect(valuesOf('-object', args).filter((object) => object.startsWith('secret'))).toEqual([
      'secret,id=vol2.key,format=raw,file=/dev/fd/3',
      'secret,id=vol3.key,format=raw,file=/dev/fd/4',
    ])
    expect(args.lastIndexOf('-object')).toBeLessThan(args.indexOf('-blockdev'))
    const seals = valuesOf('-blockdev', args)
      .map((node) => JSON.parse(node))
      .filter(({ driver }) => driver !== 'raw' && driver !== 'copy-on-read')
      .map(({ driver, encrypt }) => [driver, encrypt?.['key-secret']])
    expect(seals).toEqual([
      ['qcow2', undefined],
      ['qcow2', 'vol2.key'],
      ['qcow2', 'vol2.key'],
      ['qcow2', 'vol2.key'],
      ['nbd', undefined],
      ['qcow2', 'vol3.key'],
      ['qcow2', 'vol3.key'],
    ])
    expect(args.join(' ')).not.toContain(key.toString('hex'))
  })

  it.each([
    ['shares a slot', [0, 0], /share a slot/],
    ['is outside of the ports', [24], /slots are 0 to 23/],
    ['has half a slot', [0.5], /slots are 0 to 23/],
  ])('is refused when it %s', (_what, slots, message) => {
    const disks = slots.map((slot) => ({ volumeId, slot, chain: { base: null, layers: ['/v/0.qcow2'], key: null } }))
    expect(() => machineArguments(spec({ disks }), paths, emulated)).toThrow(message)
  })

  it('is refused without a layer', () => {
    expect(() => nodesOf({ chain: { base: null, layers: [], key: null } })).toThrow('has no layer')
  })
})
