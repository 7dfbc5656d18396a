/** Many rows at once, in as few statements as a database takes. */
import type { Insertable } from 'kysely'
import type { Db } from './database.ts'
import type { Database } from './schema.ts'

/** SQLite binds at most 32,766 values in a statement, and the widest table has fewer than 60 columns. */
const rowsPerStatement = 500

export async function insertRows<Table extends keyof Database>(
  db: Db,
  table: Table,
  rows: readonly Insertable<Database[Table]>[],
): Promise<void> {
  for (let at = 0; at < rows.length; at += rowsPerStatement) {
    await db
      .insertInto(table)
      .values(rows.slice(at, at + rowsPerStatement) as never)
      .execute()
  }
}
