/**
 * What a home was served with last. Machines of one kind mean nothing to the driver of another, so whoever opens the home
 * again (`kiln down --all`, the next `kiln serve`) takes the same unless told otherwise.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Home } from '../lib/home.ts'
import { UsageError } from './failure.ts'
import type { MachinesKind, NetworkKind } from './options.ts'

export interface HomeSettings {
  machines: MachinesKind
  network: NetworkKind
  /** The URL itself is not kept: it may hold a password. */
  database: 'sqlite' | 'postgres'
  /** The whole path of the price sheet; without it, that of Kiln itself. */
  prices?: string
}

export interface WishedSettings {
  machines?: MachinesKind
  network?: NetworkKind
  databaseUrl?: string
  /** A file, or {@link ownPrices}. */
  prices?: string
}

/** Stands for the sheet that comes with Kiln, for a home that was served with another. */
export const ownPrices = 'default'

/** Undefined when the home was never served. */
export async function readHomeSettings(home: Home): Promise<HomeSettings | undefined> {
  const text = await readFile(home.settingsPath, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as HomeSettings)
}

export async function writeHomeSettings(home: Home, settings: HomeSettings): Promise<void> {
  await mkdir(home.root, { recursive: true, mode: 0o700 })
  await writeFile(`${home.settingsPath}.new`, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 })
  await rename(`${home.settingsPath}.new`, home.settingsPath)
}

/** What to open the home with. Throws when the wish does not go with what the home holds. */
export function settle(home: Home, recorded: HomeSettings | undefined, wished: WishedSettings): HomeSettings {
  const database = wished.databaseUrl ? 'postgres' : 'sqlite'
  if (recorded && wished.machines && wished.machines !== recorded.machines) {
    throw new UsageError(
      `the home ${home.root} has ${recorded.machines} machines, not ${wished.machines} ones: leave --machines out, or choose another --home`,
    )
  }
  if (recorded && recorded.database !== database) {
    throw new UsageError(
      recorded.database === 'postgres'
        ? `the state of the home ${home.root} lies in PostgreSQL: give its --database-url (KILN_DATABASE_URL)`
        : `the state of the home ${home.root} lies in the home itself: leave --database-url (KILN_DATABASE_URL) out, or choose another --home`,
    )
  }
  return {
    machines: wished.machines ?? recorded?.machines ?? 'qemu',
    network: wished.network ?? recorded?.network ?? 'auto',
    database,
    prices: pricesOf(recorded, wished),
  }
}

function pricesOf(recorded: HomeSettings | undefined, { prices }: WishedSettings): string | undefined {
  if (prices === ownPrices) return undefined
  return prices === undefined ? recorded?.prices : resolve(prices)
}
