/** Everything that a cloud keeps, to be compared: what a refused request must leave as it was. */
import { readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { homeAt } from '../../src/lib/home.ts'
import type { TestCloud } from './test-cloud.ts'

/** What changes by itself: status checks, and how far work that was asked for before has come. */
const volatile: Readonly<Record<string, readonly string[]>> = {
  instances: ['reachability', 'reachability_at'],
  operations: [
    'state',
    'step',
    'progress',
    'attempts',
    'run_after',
    'lease_owner',
    'lease_until',
    'data',
    'updated_at',
  ],
}

/** The rows of every table, as texts, and the names of all files of volumes. */
export async function contentsOf({ deps }: TestCloud): Promise<Record<string, string[]>> {
  const home = homeAt(dirname(deps.volumesDir))
  const database = new DatabaseSync(home.databasePath, { readOnly: true })
  try {
    const tables = database.prepare("select name from sqlite_master where type = 'table'").all() as { name: string }[]
    const contents = tables.map(({ name }): [string, string[]] => {
      const rows = database.prepare(`select * from ${name}`).all()
      const lasting = rows.map((row) => ({ ...row, ...Object.fromEntries((volatile[name] ?? []).map((c) => [c, 0])) }))
      return [name, lasting.map((row) => JSON.stringify(row)).sort()]
    })
    const files = await readdir(deps.volumesDir, { recursive: true }).catch(() => [])
    return { ...Object.fromEntries(contents), 'files of volumes': files.sort() }
  } finally {
    database.close()
  }
}
