/**
 * What this host's QEMU can do, found by running a guest: some hosts have a /dev/kvm that opens and then fails at the
 * first register, so only a guest that ran is a proof. The guest is a boot sector of one instruction that matters: it
 * writes to QEMU's exit port, and QEMU ends with a code that nothing else ends with.
 */
import { accessSync, constants } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { ProgramError, run } from '../../lib/programs.ts'
import type { HostFacts } from './argv.ts'

export const qemuProgram = 'qemu-system-x86_64'

export interface HostProbe extends HostFacts {
  /** QEMU's own version line. */
  version: string
  /** One line for people: why this accelerator and not a better one. */
  reason: string
}

/** A probe takes a fifth of a second under emulation; hosts under load get much more. */
const guestTimeoutMs = 10_000
const exitPort = 0xf4
const exitValue = 0x10
/** QEMU's exit code for a value written to the port. */
const exitCode = (exitValue << 1) | 1
const sandboxOption = ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny']
const cacheFile = 'qemu-host.json'

/**
 * Finds out what QEMU can do here. What took a guest to find is kept under `cacheDir` until the host boots again or QEMU
 * changes; whether we may open /dev/kvm at all is looked up every time. Throws when QEMU runs no guest whatever.
 */
export async function probeHost(cacheDir: string, kvmPath = '/dev/kvm'): Promise<HostProbe> {
  const version = (await run(qemuProgram, ['--version'])).split('\n')[0]!
  const closed = whyKvmIsClosed(kvmPath)
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const key = [bootId, version, closed ?? 'open'].join(' ')
  const known = await readKnown(cacheDir, key)
  if (known) return known
  const probe = { ...(await tryGuests(closed)), version }
  await writeKnown(cacheDir, key, probe)
  return probe
}

function whyKvmIsClosed(kvmPath: string): string | undefined {
  try {
    accessSync(kvmPath, constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return `${kvmPath} is missing`
    return `${kvmPath}: permission denied (is this user in the group kvm?)`
  }
}

async function tryGuests(kvmClosed: string | undefined): Promise<HostFacts & { reason: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-probe-'))
  try {
    const disk = join(folder, 'disk')
    await writeFile(disk, probeDisk())
    const emulation = ['-accel', 'tcg', '-cpu', 'max']
    const confined = await whyNoGuest(folder, disk, [...emulation, ...sandboxOption])
    const sandbox = confined === undefined
    if (!sandbox) {
      const bare = await whyNoGuest(folder, disk, emulation)
      if (bare !== undefined) throw new Error(`QEMU runs no guest on this host: ${bare}`)
    }
    if (kvmClosed !== undefined) return { accelerator: 'tcg', sandbox, reason: kvmClosed }
    const failure = await whyNoGuest(folder, disk, ['-accel', 'kvm', '-cpu', 'host', ...(sandbox ? sandboxOption : [])])
    if (failure !== undefined)
      return { accelerator: 'tcg', sandbox, reason: `KVM opens, but its guest did not run: ${failure}` }
    return { accelerator: 'kvm', sandbox, reason: 'a guest ran under KVM' }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** `mov dx, port; mov al, value; out dx, al; hlt`, on a disk of one MiB, the least that the BIOS finds a geometry for. */
function probeDisk(): Buffer {
  const disk = Buffer.alloc(1024 * 1024)
  Buffer.from([0xba, exitPort, 0x00, 0xb0, exitValue, 0xee, 0xf4]).copy(disk)
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

async function whyNoGuest(folder: string, disk: string, options: readonly string[]): Promise<string | undefined> {
  const machine = [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'q35', '-m', '32M'],
    ['-device', `isa-debug-exit,iobase=${exitPort},iosize=1`],
    ['-blockdev', JSON.stringify({ driver: 'file', filename: disk, 'node-name': 'disk', 'read-only': true })],
    ['-device', 'virtio-blk-pci,drive=disk,bootindex=0'],
  ].flat()
  try {
    await run(qemuProgram, [...machine, ...options], { cwd: folder, timeoutMs: guestTimeoutMs })
    return 'QEMU ended early'
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    if (error.exitCode === exitCode) return undefined
    return firstLine(error.stderr) ?? messageOf(error)
  }
}

function firstLine(stderr: string): string | undefined {
  return stderr
    .split('\n')
    .find((line) => line.trim() !== '' && !line.startsWith('Command failed'))
    ?.trim()
}

async function readKnown(cacheDir: string, key: string): Promise<HostProbe | undefined> {
  try {
    const { key: knownKey, probe } = JSON.parse(await readFile(join(cacheDir, cacheFile), 'utf8'))
    return knownKey === key ? probe : undefined
  } catch {
    // Missing or torn: it is only a cache.
    return undefined
  }
}

async function writeKnown(cacheDir: string, key: string, probe: HostProbe): Promise<void> {
  await mkdir(cacheDir, { recursive: true })
  const path = join(cacheDir, cacheFile)
  await writeFile(`${path}.${process.pid}`, JSON.stringify({ key, probe }, null, 2))
  await rename(`${path}.${process.pid}`, path)
}
