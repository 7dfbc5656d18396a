/**
 * A Kiln of its own for a test: `bin/kiln serve` as a child, with a home below the temporary folder and any free port.
 * Call {@link RunningKiln.cleanup} in `afterAll` or `afterEach`, whatever happened before: it leaves nothing behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defaultHome, homeAt } from '../../../src/lib/home.ts'
import { run } from '../../../src/lib/programs.ts'

export const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url))
export const kilnProgram = join(repositoryRoot, 'bin/kiln')

const readyWithinMs = 120_000
const downWithinMs = 240_000

export interface StartOptions {
  machines?: 'qemu' | 'simulated'
  auth?: 'open' | 'verify'
  /** Variables for the daemon and for `kiln` commands, besides the test's own; `undefined` takes one away. */
  env?: NodeJS.ProcessEnv
  /** Words after those that are given anyway. */
  args?: readonly string[]
  /** The folder in which the home is made; the temporary folder unless given. */
  below?: string
}

export interface RunningKiln {
  /** `http://127.0.0.1:PORT`; another one after {@link restart}. */
  readonly url: string
  readonly home: string
  readonly pid: number
  /** What the daemon wrote on standard error since it was last started. */
  readonly log: string
  /** What `kiln` commands and AWS tools need to find this Kiln. */
  readonly env: NodeJS.ProcessEnv
  /** `kiln ARGS…` on this home; its standard output. Throws ProgramError on any other exit than 0. */
  command(...args: string[]): Promise<string>
  /** Takes the daemon away at once, as a crash would. Its machines go on. */
  kill9(): Promise<void>
  /** SIGTERM; resolves to the exit code. Its machines go on. */
  stop(): Promise<number | null>
  /** Serves the same home again, after {@link stop} or {@link kill9}. */
  restart(): Promise<void>
  /** `kiln down --all`; what it printed. */
  downAll(): Promise<string>
  /** {@link downAll}, and the home is removed. May be called twice. */
  cleanup(): Promise<void>
}

/** Resolves once the daemon has said `kiln ready`. */
export async function startKiln(options: StartOptions = {}): Promise<RunningKiln> {
  const home = await newHome(options.below)
  const kiln = new KilnChild(home, options)
  try {
    await kiln.restart()
    return kiln
  } catch (error) {
    await kiln.cleanup()
    throw error
  }
}

/** An empty home, but for the images that set-up built for the default home, which nobody needs to build again. */
export async function newHome(below = tmpdir()): Promise<string> {
  const home = await mkdtemp(join(below, 'kiln-e2e-'))
  const { cacheDir } = homeAt(defaultHome())
  await mkdir(cacheDir, { recursive: true, mode: 0o700 })
  await symlink(cacheDir, homeAt(home).cacheDir)
  return home
}

/** The test's environment without the settings of a Kiln that its user may run, and of the user's terminal. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const isSetting = (name: string) => /^(KILN|AWS)_|^(FORCE|NO)_COLOR$/.test(name)
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting(name)))
}

class KilnChild implements RunningKiln {
  readonly home: string
  url = ''
  log = ''
  readonly #options: StartOptions
  #child: ChildProcess | undefined
  #exit: Promise<number | null> | undefined

  constructor(home: string, options: StartOptions) {
    this.home = home
    this.#options = options
  }

  get pid(): number {
    return this.#child!.pid!
  }

  get env(): NodeJS.ProcessEnv {
    return {
      ...cleanEnvironment(),
      KILN_HOME: this.home,
      AWS_ENDPOINT_URL: this.url,
      AWS_ACCESS_KEY_ID: '123456789012',
      AWS_SECRET_ACCESS_KEY: 'kiln',
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_REGION: 'us-east-1',
      AWS_PAGER: '',
      ...this.#options.env,
    }
  }

  async restart(): Promise<void> {
    const { machines = 'simulated', auth = 'open', args = [] } = this.#options
    const words = ['serve', '--port', '0', '--machines', machines, '--auth', auth, ...args]
    const child = spawn(kilnProgram, words, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text
    })
    this.#child = child
    this.#exit = new Promise((resolve) => child.once('close', resolve))
    this.url = await readyUrl(child, () => this.log)
  }

  command(...args: string[]): Promise<string> {
    return run(kilnProgram, args, { env: this.env, timeoutMs: downWithinMs })
  }

  async kill9(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#exit
  }

  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM')
    return (await this.#exit) ?? null
  }

  async downAll(): Promise<string> {
    const said = await this.command('down', '--all')
    await this.#exit
    return said
  }

  async cleanup(): Promise<void> {
    await this.downAll()
    await rm(this.home, { recursive: true, force: true })
  }
}

function readyUrl(child: ChildProcess, log: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const overdue = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`kiln serve was not ready within ${readyWithinMs / 1000} s: ${log()}`))
    }, readyWithinMs)
    let said = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const url = /^kiln ready (\S+)$/m.exec(said)?.[1]
      if (!url) return
      clearTimeout(overdue)
      resolve(url)
    })
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(overdue)
      reject(new Error(`kiln serve ended with ${code}: ${log() || said}`))
    })
  })
}
