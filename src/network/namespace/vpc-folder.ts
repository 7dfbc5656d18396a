/** What is kept of a VPC on this host, in its own folder, so that the next daemon finds it by id alone. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ProcessRef } from '../../lib/programs.ts'
import { type NamespaceMode, ownMode } from './vpc-namespace.ts'

export interface VpcRecord {
  mode: NamespaceMode
  /** The network namespace's inode; null before it exists. */
  networkInode: number | null
  /** Keeps the namespace alive. */
  holder: ProcessRef | null
  agent: ProcessRef | null
  dhcp: ProcessRef | null
  egress: ProcessRef | null
  /** Interfaces of the plan applied last. */
  nicIds: string[]
}

export function newRecord(): VpcRecord {
  return { mode: ownMode(), networkInode: null, holder: null, agent: null, dhcp: null, egress: null, nicIds: [] }
}

export class VpcFolder {
  readonly vpcId: string
  readonly path: string
  /** Unix sockets lie in a short folder of their own: the kernel allows them 107 characters. */
  readonly agentSocketPath: string

  constructor(networksDir: string, runDir: string, vpcId: string) {
    this.vpcId = vpcId
    this.path = join(networksDir, vpcId)
    this.agentSocketPath = join(runDir, `${vpcId}.agent`)
  }

  file(name: string): string {
    return join(this.path, name)
  }

  async create(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
  }

  /** The record, or undefined when there is none (or only half of one, from a crash: what lives is found by its mark). */
  async read(): Promise<VpcRecord | undefined> {
    try {
      return { ...newRecord(), ...JSON.parse(await readFile(this.file('vpc.json'), 'utf8')) }
    } catch {
      return undefined
    }
  }

  async write(record: VpcRecord): Promise<void> {
    await this.replace('vpc.json', `${JSON.stringify(record, null, 2)}\n`)
  }

  /** Writes a file whole or not at all; false when it held that text already. */
  async replace(name: string, text: string): Promise<boolean> {
    const path = this.file(name)
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return false
    await writeFile(`${path}.new`, text, { mode: 0o600 })
    await rename(`${path}.new`, path)
    return true
  }

  /** The last lines of a log of ours, for an error's text. */
  async logTail(name: string): Promise<string> {
    const text = await readFile(this.file(name), 'utf8').catch(() => '')
    return text.trim().split('\n').slice(-3).join(' | ')
  }

  async remove(): Promise<void> {
    await rm(this.agentSocketPath, { force: true })
    await rm(this.path, { recursive: true, force: true })
  }
}
