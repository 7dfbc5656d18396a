/**
 * The argument array of a machine: what hardware an instance has. The same spec always gives the same array.
 *
 * The hardware is EC2's as far as a guest can tell: disks by volume id, the network card in slot 5, SMBIOS of Amazon EC2
 * with a UUID that begins with `ec2` (so that cloud-init's Ec2 data source is found), one serial port, a screen that nobody sits
 * at.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { limits } from '../../lib/limits.ts'
import type { NicAttachment } from '../../network/driver.ts'
import type { MachineDisk, MachineNic, MachineSpec } from '../driver.ts'
import { machineNodes } from './disk-chain.ts'
import { diskDevice } from './disk-device.ts'
import { secretArguments, secretsOf } from './disk-secrets.ts'
import { agentChardev, agentPortName } from './guest-agent.ts'
import { backendOf, cardOf, cardPort } from './network-card.ts'

/** What this host's QEMU can do; found by trying (accelerator.ts). */
export interface HostFacts {
  accelerator: 'kvm' | 'tcg'
  /** Whether QEMU can confine itself with seccomp. */
  sandbox: boolean
}

/** Where a machine's files lie. Sockets and pid files have a folder of their own with a short path. */
export interface MachinePaths {
  qmpSocket: string
  agentSocket: string
  pidFile: string
  folder: string
  console: string
  /** A picture of the screen, while it is taken. */
  screen: string
  qemuLog: string
}

export function machinePaths(runDir: string, machinesDir: string, id: string): MachinePaths {
  const folder = join(machinesDir, id)
  return {
    qmpSocket: join(runDir, `${id}.qmp`),
    agentSocket: join(runDir, `${id}.agent`),
    pidFile: join(runDir, `${id}.pid`),
    folder,
    console: join(folder, 'console.log'),
    screen: join(folder, 'screen.ppm'),
    qemuLog: join(folder, 'qemu.log'),
  }
}

/**
 * One port for each disk that an instance may ever have, because a port cannot be added while the machine runs. Eight
 * share a PCI slot as its functions. All of them together cost a boot at most 0.3 s under emulation.
 */
const diskPorts = limits.disksPerInstance
/** The same for each network card but the first. */
const cardPorts = limits.interfacesPerInstance - 1
const firstPortSlot = 0x10
const functionsPerSlot = 8

/** The process inherits the keys of sealed disks, in the order of `secretsOf`. */
export function machineArguments(spec: MachineSpec, paths: MachinePaths, host: HostFacts): string[] {
  check(spec)
  return [
    ['-name', `guest=${spec.id}`],
    ['-nodefaults', '-no-user-config', '-display', 'none'],
    ['-machine', 'q35'],
    ...accelerator(host),
    ['-smp', `cpus=${spec.vcpus}`],
    ['-m', `${spec.memoryMib}M`],
    // EC2's instances neither suspend nor hibernate on their own.
    ['-global', 'ICH9-LPC.disable_s3=1', '-global', 'ICH9-LPC.disable_s4=1'],
    // A guest that switched itself off keeps its process, so that whoever looks later sees that it did.
    ['-action', 'shutdown=pause,reboot=reset'],
    ['-boot', 'strict=on'],
    ...smbios(spec),
    ['-pidfile', paths.pidFile],
    [
      '-chardev',
      `socket,id=qmp,path=${escaped(paths.qmpSocket)},server=on,wait=off`,
      '-mon',
      'chardev=qmp,mode=control',
    ],
    ['-chardev', `file,id=console,path=${escaped(paths.console)},append=on`, '-device', 'isa-serial,chardev=console'],
    ['-device', `VGA,vgamem_mb=${screenMemoryMib},bus=pcie.0,addr=0x2`],
    ...guestAgent(paths),
    ['-object', 'rng-builtin,id=rng', '-device', 'virtio-rng-pci,rng=rng,bus=pcie.0,addr=0x4,disable-legacy=on'],
    ...network(spec.nic.mac, spec.nic.attachment),
    ...Array.from({ length: diskPorts }, (_, slot) => ['-device', rootPort(slot)]),
    ...Array.from({ length: cardPorts }, (_, port) => ['-device', rootPort(diskPorts + port, cardPort(port + 1))]),
    ...(spec.moreNics ?? []).flatMap(card),
    ...secretArguments('-object', secretsOf(spec.disks)),
    ...spec.disks.flatMap(disk),
    ...sandbox(spec.nic.attachment, host),
  ].flat()
}

function check(spec: MachineSpec): void {
  const slots = spec.disks.map((disk) => disk.slot)
  if (new Set(slots).size !== slots.length) throw new Error(`two disks of ${spec.id} share a slot`)
  const outside = slots.find((slot) => !Number.isInteger(slot) || slot < 0 || slot >= diskPorts)
  if (outside !== undefined)
    throw new Error(`${spec.id} has a disk in slot ${outside}: slots are 0 to ${diskPorts - 1}`)
}

/** In QEMU's option syntax a comma within a value is written twice. */
export function escaped(value: string): string {
  return value.replaceAll(',', ',,')
}

/** Enough for 1280 by 800 points, and little enough that a picture of all of them is quickly made. */
const screenMemoryMib = 4

const translationCacheMib = 64

function accelerator(host: HostFacts): string[][] {
  if (host.accelerator === 'kvm') return [['-accel', 'kvm', '-cpu', 'host']]
  // Translated code stays resident, and QEMU's own choice (an eighth of the host's memory) would be most of a small
  // guest's footprint. A reboot walks all of it: with hundreds of MiB that alone takes most of a minute.
  return [['-accel', `tcg,thread=multi,tb-size=${translationCacheMib}`, '-cpu', 'max']]
}

/** The same for every start of an instance, as a guest that remembers its hardware expects. */
export function machineUuid(instanceId: string): string {
  const hex = `ec2${createHash('sha256').update(instanceId).digest('hex')}`
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

function smbios(spec: MachineSpec): string[][] {
  const uuid = machineUuid(spec.id)
  const maker = 'manufacturer=Amazon EC2'
  return [
    ['-smbios', 'type=0,vendor=Amazon EC2,version=1.0'],
    ['-smbios', `type=1,${maker},product=${escaped(spec.instanceType)},serial=${uuid},uuid=${uuid}`],
    ['-smbios', `type=2,${maker},asset=${escaped(spec.id)}`],
    ['-smbios', `type=3,${maker},asset=Amazon EC2`],
  ]
}

function network(mac: string, attachment: NicAttachment): string[][] {
  if (attachment.kind === 'none') return []
  const backend =
    attachment.kind === 'tap'
      ? `tap,id=net0,ifname=${escaped(attachment.ifname)},script=no,downscript=no`
      : ['user,id=net0', attachment.options].filter(Boolean).join(',')
  return [
    ['-netdev', backend],
    // Without an option ROM: nothing here boots from the network, and the ROM costs boot time.
    ['-device', `virtio-net-pci,netdev=net0,mac=${mac},bus=pcie.0,addr=0x5,romfile=,disable-legacy=on`],
  ]
}

/** The serial port on which the guest's agent listens, if it has one. */
function guestAgent({ agentSocket }: MachinePaths): string[][] {
  return [
    ['-chardev', `socket,id=${agentChardev},path=${escaped(agentSocket)},server=on,wait=off`],
    ['-device', 'virtio-serial-pci,id=serial0,max_ports=2,bus=pcie.0,addr=0x6,disable-legacy=on'],
    ['-device', `virtserialport,bus=serial0.0,chardev=${agentChardev},name=${agentPortName}`],
  ]
}

function rootPort(slot: number, id = `port${slot}`): string {
  const place = `0x${(firstPortSlot + Math.floor(slot / functionsPerSlot)).toString(16)}.${slot % functionsPerSlot}`
  const first = slot % functionsPerSlot === 0 ? ',multifunction=on' : ''
  return `pcie-root-port,id=${id},bus=pcie.0,addr=${place}${first},chassis=${slot + 1},slot=${slot + 1}`
}

function card(nic: MachineNic): string[][] {
  const backend = backendOf(nic.index, nic.attachment)
  if (!backend) return []
  const { type, ...options } = backend
  const { driver, ...place } = cardOf(nic)
  return [
    ['-netdev', [type, ...pairs(options)].join(',')],
    ['-device', [driver, ...pairs(place)].join(',')],
  ]
}

const pairs = (options: Readonly<Record<string, string>>) =>
  Object.entries(options).map(([name, value]) => `${name}=${escaped(value)}`)

function disk(disk: MachineDisk): string[][] {
  const { driver, ...options } = diskDevice(disk)
  const device = [driver, ...Object.entries(options).map(([name, value]) => `${name}=${value}`)].join(',')
  return [...machineNodes(disk).map((node) => ['-blockdev', JSON.stringify(node)]), ['-device', device]]
}

function sandbox(attachment: NicAttachment, host: HostFacts): string[][] {
  if (!host.sandbox) return []
  // User networking hands a guest's metadata requests to a program that QEMU starts in a session of its own: for that
  // alone it must be let fork, and call setsid, which QEMU counts among the ways to elevate privileges.
  const spawn = attachment.kind === 'user' ? 'allow' : 'deny'
  return [['-sandbox', `on,obsolete=deny,elevateprivileges=${spawn},spawn=${spawn},resourcecontrol=deny`]]
}
