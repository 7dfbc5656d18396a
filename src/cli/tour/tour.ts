/** The tour's stage: a Kiln of its own in a throw-away home, and the means by which steps act and are seen to act. */
import { randomBytes } from 'node:crypto'
import { cp, glob, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { type Home, homeAt } from '../../lib/home.ts'
import { endProcess, isAlive, type ProcessRef, run, startDetached } from '../../lib/programs.ts'
import type { DaemonPage } from '../../server.ts'
import { credentialsFor, Ec2Client, type InputOf, type OperationName, type OutputOf } from '../client.ts'
import { findDaemon } from '../daemon.ts'
import { typedName } from '../render.ts'
import { Services } from '../services.ts'
import { awsLine, type LineOptions, quoted } from './command-line.ts'
import { inGuest, type Login, sshLine } from './guest.ts'

const main = fileURLToPath(new URL(`../main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url))
const readyWithinMs = 120_000
const downWithinMs = 240_000
/** For every state that a step waits for. */
const waitWithinMs = 180_000
const pollMs = 250

export const accountId = '123456789012'
/** The two ends of the copy. */
export const regions = { first: 'us-east-1', second: 'eu-central-1' } as const

export class Tour {
  readonly home: Home
  readonly signal: AbortSignal
  readonly #show: (line: string) => void
  readonly #network: string | undefined
  #daemon: DaemonPage | undefined

  private constructor(home: Home, options: TourOptions) {
    this.home = home
    this.signal = options.signal
    this.#show = options.show
    this.#network = options.network
  }

  /** Makes the home, with the images that were built for `cacheDir`'s home. */
  static async create(options: TourOptions): Promise<Tour> {
    const home = homeAt(await mkdtemp(join(tmpdir(), 'kiln-tour-')))
    await mkdir(options.cacheDir, { recursive: true, mode: 0o700 })
    await symlink(options.cacheDir, home.cacheDir)
    await mkdir(home.logsDir, { recursive: true, mode: 0o700 })
    return new Tour(home, options)
  }

  async startDaemon(): Promise<DaemonPage> {
    const words = [
      'serve',
      '--home',
      this.home.root,
      '--port',
      '0',
      ...(this.#network ? ['--network', this.#network] : []),
    ]
    this.#show(`${typedName} ${words.join(' ')}`)
    const logPath = join(this.home.logsDir, 'serve.log')
    const daemon = await startDetached(process.execPath, [...process.execArgv, main, ...words], {
      logPath,
      env: environment(),
    })
    try {
      this.#daemon = await this.#ready(daemon, logPath)
    } catch (error) {
      // Without its page nobody else would find it.
      await endProcess(daemon)
      throw error
    }
    this.#show(`eval "$(${typedName} env --home ${this.home.root} --account ${accountId} --region ${regions.first})"`)
    return this.#daemon
  }

  async #ready(daemon: ProcessRef, logPath: string): Promise<DaemonPage> {
    const page = await waitFor(
      systemClock,
      async () => (isAlive(daemon) ? await findDaemon(this.home) : ('ended' as const)),
      { everyMs: 50, timeoutMs: readyWithinMs, signal: this.signal },
    )
    if (page === undefined) throw new Error(`kiln serve was not ready within ${readyWithinMs / 1000} s`)
    if (page === 'ended') throw new Error(`kiln serve ended: ${(await readFile(logPath, 'utf8')).trim()}`)
    return page
  }

  /** Ends the daemon and everything of the home; what the command said. */
  async down(): Promise<string> {
    const words = ['down', '--all', '--home', this.home.root]
    this.#show(`${typedName} ${words.join(' ')}`)
    this.#daemon = undefined
    return this.#run(words)
  }

  /** Ends and removes everything, also after a failure half-way. */
  async cleanUp(): Promise<void> {
    await this.#run(['down', '--all', '--home', this.home.root])
    await rm(this.home.root, { recursive: true, force: true })
  }

  #run(words: readonly string[]): Promise<string> {
    const timeoutMs = downWithinMs
    return run(process.execPath, [...process.execArgv, main, ...words], { timeoutMs, env: environment() })
  }

  /** Copies logs and consoles to a folder that stays; its path. */
  async saveLogs(): Promise<string> {
    const { root: cwd } = this.home
    const folder = await mkdtemp(join(tmpdir(), 'kiln-tour-logs-'))
    for await (const path of glob('{logs,run,networks/*,machines/*}/*.log', { cwd })) {
      await cp(join(cwd, path), join(folder, path))
    }
    return folder
  }

  /** One request, shown as the line that does the same. */
  call<Name extends OperationName>(
    region: string,
    name: Name,
    input: InputOf<Name>,
    options: Omit<LineOptions, 'region'> = {},
  ): Promise<OutputOf<Name>> {
    const line = region === regions.first ? options : { ...options, region }
    this.#show(awsLine(name, input, line))
    return this.#client(region).call(name, input)
  }

  /**
   * Asks until `done` gives a value; `awsWaiter` is the AWS CLI's name for the same. Throws, with what was seen last,
   * when it takes too long.
   */
  async wait<Name extends OperationName, T>(
    region: string,
    awsWaiter: string,
    [name, input]: [Name, InputOf<Name>],
    done: (answer: OutputOf<Name>) => T | undefined,
  ): Promise<T> {
    const line = awsLine(name, input, region === regions.first ? {} : { region })
    const [, waited = line] = /^aws ec2 [a-z-]+(.*)$/.exec(line) ?? []
    this.#show(`aws ec2 wait ${awsWaiter}${waited}`)
    const client = this.#client(region)
    let last: unknown
    const value = await waitFor(
      systemClock,
      async () => {
        const answer = await client.call(name, input)
        last = answer
        return done(answer)
      },
      { everyMs: pollMs, timeoutMs: waitWithinMs, signal: this.signal },
    )
    if (value !== undefined) return value
    throw new Error(
      `${awsWaiter} did not come true within ${waitWithinMs / 1000} s; last seen: ${JSON.stringify(last)}`,
    )
  }

  /** A command in a guest, shown as the SSH line; what it printed. */
  ssh(login: Login, command: string, options: { timeoutMs?: number } = {}): Promise<string> {
    this.#show(sshLine(login, command))
    return inGuest(login, command, this.signal, options)
  }

  /** Repeats a command in a guest that may be away, until it prints what `done` takes. */
  async sshUntil(login: Login, command: string, done: (printed: string) => boolean, withinMs: number): Promise<void> {
    this.#show(sshLine(login, command))
    const ask = () => inGuest(login, command, this.signal).catch(() => undefined)
    const found = await waitFor(
      systemClock,
      async () => {
        const printed = await ask()
        this.signal.throwIfAborted()
        return printed !== undefined && done(printed) ? printed : undefined
      },
      { everyMs: pollMs, timeoutMs: withinMs, signal: this.signal },
    )
    if (found === undefined) throw new Error(`'${command}' did not change within ${withinMs / 1000} s`)
  }

  /** A file of the host's, given to a command in a guest. */
  async sshWith(login: Login, path: string, command: string): Promise<void> {
    this.#show(`${sshLine(login, command)} < ${quoted(path)}`)
    await inGuest(login, command, this.signal, { input: await readFile(path, 'utf8') })
  }

  /** A `kiln` command on the home; what it printed. */
  async kiln(...words: string[]): Promise<string> {
    const all = [...words, '--home', this.home.root, '--account', accountId]
    this.#show([typedName, ...all].map(quoted).join(' '))
    return (await this.#run(all)).trim()
  }

  async makeBucket(bucket: string): Promise<void> {
    this.#show(`aws s3 mb s3://${bucket}`)
    await new Services(this.#daemon!, { region: regions.first, account: accountId }).ensureBucket(bucket)
  }

  /** Shows a line for what the caller does by itself. */
  show(line: string): void {
    this.#show(line)
  }

  #client(region: string): Ec2Client {
    const page = this.#daemon!
    return new Ec2Client({ url: page.url, region, credentials: credentialsFor(page, accountId) })
  }
}

export interface TourOptions {
  cacheDir: string
  /** Handed to `kiln serve`. */
  network?: string
  signal: AbortSignal
  /** Called with each line that does what the tour does. */
  show: (line: string) => void
}

/** Ours, without what the user set for a Kiln of his own. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('KILN_') || name === 'KILN_LOG'),
  )
}

/** A text that is found again only where it was put. */
export const uniqueText = () => `kiln tour ${randomBytes(4).toString('hex')}`
