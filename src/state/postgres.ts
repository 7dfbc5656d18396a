import { type Dialect, PostgresDialect } from 'kysely'
import pg from 'pg'

const INT8 = 20

/** A pool on `url` (`postgres://…`). bigint columns hold times and byte counts, all below 2^53: they come as numbers. */
export function postgresDialect(url: string): Dialect {
  const types = {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      oid === INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format as 'text'),
  }
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: 10_000,
    types: types as pg.CustomTypesConfig,
  })
  // An idle connection that the server closes must not end the process: the next query gets a new one, or its error.
  pool.on('error', () => {})
  return new PostgresDialect({ pool })
}
