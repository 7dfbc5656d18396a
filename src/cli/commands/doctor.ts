import { existsSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { styleText } from 'node:util'
import type { Command } from 'commander'
import { type Home, homeAt } from '../../lib/home.ts'
import { findDaemon } from '../daemon.ts'
import { homeOption, jsonOption } from '../options.ts'
import { facts, print, printJson, size } from '../render.ts'

export interface Finding {
  about: string
  /** `limited`: Kiln runs, and something in it does not. `missing`: it does not run. */
  verdict: 'ok' | 'limited' | 'missing'
  /** What was found; for the other two verdicts also what to type. */
  detail: string
}

interface Tried {
  ok: boolean
  detail: string
}

interface HostProgram {
  name: string
  package: string
  purpose: string
  /** Where it may lie when it is no program. */
  files?: string[]
  tests?: boolean
  /** The only command that needs it. */
  command?: string
}

const oldestNode = 24
const roomyBytes = 5 * 1024 ** 3
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin']
const sshPort = 22

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('what this host has and lacks for Kiln, tried for real; ends with 1 when something needed is missing')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(doctor)
}

async function doctor(flags: { home: string; json?: boolean }): Promise<void> {
  const home = homeAt(flags.home)
  const { diagnose } = await import('../../server.ts')
  const { machines, network, userNetwork } = await diagnose(home.root)
  const programs = readHostPrograms()
  const findings: Finding[] = [
    nodeFinding(process.versions.node),
    programsFinding(neededAlways(programs).filter((program) => !isThere(program))),
    ...commandFindings(programs, isThere),
    { about: 'machines', verdict: machines.ok ? 'ok' : 'missing', detail: machines.detail },
    networkFinding(network, userNetwork),
    portsFinding(process.getuid?.() === 0, readFirstFreePort()),
    await diskFinding(home),
    await daemonFinding(home),
  ]
  const isWell = findings.every((finding) => finding.verdict !== 'missing')
  if (flags.json) printJson({ ok: isWell, findings })
  else print(facts(findings.map(({ about, verdict, detail }) => [`${marks[verdict]} ${about}`, detail])))
  if (!isWell) process.exitCode = 1
}

const marks = { ok: styleText('green', '✓'), limited: styleText('yellow', '!'), missing: styleText('red', '✗') }

export function nodeFinding(version: string): Finding {
  const isNew = Number(version.split('.')[0]) >= oldestNode
  return {
    about: 'Node',
    verdict: isNew ? 'ok' : 'missing',
    detail: isNew ? version : `${version} is too old: ${oldestNode} is needed; type: npm ci --include=optional`,
  }
}

export function programsFinding(missing: readonly HostProgram[]): Finding {
  if (missing.length === 0) return { about: 'programs', verdict: 'ok', detail: 'all there' }
  const named = missing.map(({ name, purpose }) => `${name} (${purpose})`).join(', ')
  const packages = [...new Set(missing.map((program) => program.package))].join(' ')
  const detail = `missing: ${named}; type: sudo apt-get install --no-install-recommends ${packages}`
  return { about: 'programs', verdict: 'missing', detail }
}

const neededAlways = (programs: readonly HostProgram[]) => programs.filter((program) => !program.tests)

/** A finding for each command that needs programs which nothing else does. */
export function commandFindings(programs: readonly HostProgram[], has: (program: HostProgram) => boolean): Finding[] {
  const byCommand = Map.groupBy(programs, (program) => program.command)
  return [...byCommand].flatMap(([about, needed]) => {
    if (about === undefined) return []
    const missing = programsFinding(needed.filter((program) => !has(program)))
    return { ...missing, about, verdict: missing.verdict === 'ok' ? 'ok' : 'limited' }
  })
}

/** Without namespaces QEMU's user networking stands in; without that too no instance can be started. */
export function networkFinding(namespaces: Tried, user: Tried): Finding {
  const about = 'network'
  if (namespaces.ok) return { about, verdict: 'ok', detail: namespaces.detail }
  if (user.ok) return { about, verdict: 'limited', detail: `${namespaces.detail}. Until then ${user.detail}` }
  return { about, verdict: 'missing', detail: `${namespaces.detail}. Nor does QEMU's user networking: ${user.detail}` }
}

function readHostPrograms(): HostProgram[] {
  const list = new URL('../../../scripts/host-programs.json', import.meta.url)
  return JSON.parse(readFileSync(list, 'utf8')) as HostProgram[]
}

function isThere({ name, files = [] }: HostProgram): boolean {
  if (files.length > 0) return files.some((path) => existsSync(path))
  const folders = [...(process.env.PATH ?? '').split(':'), ...systemFolders]
  return folders.some((folder) => folder !== '' && existsSync(join(folder, name)))
}

/** The lowest port that ordinary users may listen on; instances offer theirs, 22 among them, on 127.x.y.z. */
export function portsFinding(isRoot: boolean, firstFreePort: number): Finding {
  if (isRoot || firstFreePort <= sshPort) {
    return { about: 'ports', verdict: 'ok', detail: 'instances can be reached on their own ports, 22 among them' }
  }
  const detail =
    `this user may not listen below port ${firstFreePort}: instances are not reachable there, nor over SSH; ` +
    `type: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=${sshPort}`
  return { about: 'ports', verdict: 'limited', detail }
}

function readFirstFreePort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return 1024
  }
}

async function diskFinding(home: Home): Promise<Finding> {
  let folder = home.root
  while (!existsSync(folder)) folder = dirname(folder)
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  const detail = `${size(freeBytes)} free for ${home.root}`
  if (freeBytes >= roomyBytes) return { about: 'disk', verdict: 'ok', detail }
  return { about: 'disk', verdict: 'limited', detail: `${detail}: little for volumes; choose a roomier --home` }
}

async function daemonFinding(home: Home): Promise<Finding> {
  const daemon = await findDaemon(home)
  const detail = daemon ? `serves at ${daemon.url} (process ${daemon.pid})` : 'not running; type: kiln serve'
  return { about: 'daemon', verdict: 'ok', detail }
}
