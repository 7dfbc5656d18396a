/** Lets Kysely's SQLite dialect run on Node's own `node:sqlite`. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { type Dialect, SqliteAdapter, type SqliteDatabase, SqliteDialect } from 'kysely'

/** A file in WAL mode, every commit on stable storage before it is answered. */
export function sqliteDialect(path: string): Dialect {
  return new AtomicSchemaDialect({ database: async () => openSqlite(path) })
}

/**
 * SQLite changes schemas in transactions as it does data, which Kysely does not make use of: each statement was a commit of
 * its own, and a crash between two of them left a schema that the next start could not bring up to date.
 */
class AtomicSchemaDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new AtomicSchemaAdapter()
  }
}

class AtomicSchemaAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

const nothing: ReturnType<SqliteDatabase['prepare']> = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [][Symbol.iterator](),
}

function openSqlite(path: string): SqliteDatabase {
  const database = new DatabaseSync(path)
  database.exec(`
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma foreign_keys = on;
    pragma busy_timeout = 5000;
    pragma case_sensitive_like = on;
  `)
  // Preparing costs more than running for small statements, and Kysely writes the same texts again and again.
  const prepared = new Map<string, ReturnType<DatabaseSync['prepare']>>()
  const prepare = (sql: string) => {
    let statement = prepared.get(sql)
    if (!statement) {
      if (prepared.size >= 500) prepared.clear()
      statement = database.prepare(sql)
      prepared.set(sql, statement)
    }
    return statement
  }
  return {
    close: () => database.close(),
    prepare: (sql) => {
      // Without room for a write SQLite takes the whole transaction back by itself. To do so again would be an error,
      // and hide the first one.
      if (sql === 'rollback' && !database.isTransaction) return nothing
      const statement = prepare(sql)
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
        run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
        iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
      }
    },
  }
}
