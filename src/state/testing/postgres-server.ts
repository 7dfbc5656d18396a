/** A real PostgreSQL server of a test's own, in a temporary folder, reached by a unix socket alone. */
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endProcess, run, startDetached } from '../../lib/programs.ts'

export interface PostgresServer {
  /** A new, empty database; one that sorts as English does instead of by bytes, when it is asked for. */
  createDatabase(sorting?: 'english'): Promise<string>
  /** A new database with all that another one holds, which nobody may use meanwhile. */
  copyDatabase(url: string): Promise<string>
  stop(): Promise<void>
}

const debianHome = '/usr/lib/postgresql'
const accountName = 'postgres'

/** The folder of the newest server's programs; undefined when none is installed. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(debianHome) ? readdirSync(debianHome).sort((a, b) => Number(b) - Number(a)) : []
  return versions
    .map((version) => join(debianHome, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')))
}

export async function startPostgres(programs: string): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-pg-'))
  // PostgreSQL refuses to run as root: its own account takes over.
  const isRoot = process.getuid?.() === 0
  const as = isRoot ? ['setpriv', `--reuid=${accountName}`, `--regid=${accountName}`, '--clear-groups'] : ['env']
  const [program, ...prefix] = as as [string, ...string[]]
  if (isRoot) {
    const id = async (flag: string) => Number(await run('id', [flag, accountName]))
    await chown(folder, await id('-u'), await id('-g'))
  }
  const data = join(folder, 'data')
  const initdb = [join(programs, 'initdb'), '-D', data, '-A', 'trust', '-U', 'kiln', '-N', '-E', 'UTF8', '--locale=C']
  await run(program, [...prefix, ...initdb], { cwd: folder })
  const server = [
    join(programs, 'postgres'),
    '-D',
    data,
    '-k',
    folder,
    '-c',
    'listen_addresses=',
    '-c',
    'fsync=off',
    '-c',
    'autovacuum=off',
  ]
  const process_ = await startDetached(program, [...prefix, ...server], { cwd: folder, logPath: join(folder, 'log') })
  const psql = (sql: string) => run(join(programs, 'psql'), ['-h', folder, '-U', 'kiln', '-d', 'postgres', '-qc', sql])
  for (let attempt = 0; ; attempt++) {
    const failure = await psql('select 1').then(
      () => undefined,
      (error: unknown) => error,
    )
    if (!failure) break
    if (attempt > 100) throw failure
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  let databases = 0
  async function create(how: string): Promise<string> {
    const name = `kiln${databases++}`
    await psql(`create database ${name} ${how}`)
    return `postgres://kiln@/${name}?host=${encodeURIComponent(folder)}`
  }
  const english = "template template0 locale_provider icu icu_locale 'en-US'"
  return {
    createDatabase: (sorting) => create(sorting === 'english' ? english : ''),
    copyDatabase: (url) => create(`template ${/\/(kiln\d+)\?/.exec(url)![1]}`),
    async stop() {
      await endProcess(process_, 10_000)
      await rm(folder, { recursive: true, force: true })
    },
  }
}
