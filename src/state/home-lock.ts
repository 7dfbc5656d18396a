/** One daemon a home: a lock that the kernel takes back when its holder dies, however it dies. */
import { DatabaseSync } from 'node:sqlite'

export interface HomeLock {
  release(): void
}

/** Undefined when another process holds it. */
export function lockHome(path: string): HomeLock | undefined {
  const database = new DatabaseSync(path)
  try {
    database.exec('pragma locking_mode = exclusive; begin exclusive')
    return { release: () => database.close() }
  } catch (error) {
    database.close()
    if (/locked|busy/i.test(String(error))) return undefined
    throw error
  }
}
