import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { BudgetEventsTable, BudgetsTable, BudgetThreshold } from './schema/budgets.ts'

export type { BudgetThreshold }
export type Budget = Omit<Selectable<BudgetsTable>, 'thresholds'> & { thresholds: BudgetThreshold[] }
export type BudgetEvent = Selectable<BudgetEventsTable>

export class BudgetRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** False when there is one of that name. */
  async insert({ thresholds, ...budget }: Budget): Promise<boolean> {
    const done = await this.#db
      .insertInto('budgets')
      .values({ ...budget, thresholds: JSON.stringify(thresholds) })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .executeTakeFirst()
    return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
  }

  async get(name: string): Promise<Budget | undefined> {
    const row = await this.#db.selectFrom('budgets').selectAll().where('name', '=', name).executeTakeFirst()
    return row && budgetOf(row)
  }

  /** By name. */
  async list(): Promise<Budget[]> {
    const rows = await this.#db.selectFrom('budgets').selectAll().orderBy('name').execute()
    return rows.map(budgetOf)
  }

  /** False when there is none. Its events stay. */
  async remove(name: string): Promise<boolean> {
    const done = await this.#db.deleteFrom('budgets').where('name', '=', name).executeTakeFirst()
    return done.numDeletedRows > 0n
  }

  /** Nothing more is judged of that month. */
  async close(id: string, month: string): Promise<void> {
    await this.#db.updateTable('budgets').set({ closedMonth: month }).where('id', '=', id).execute()
  }

  /** Appends that a threshold was crossed. False when that is known of this month already. */
  async cross(event: Omit<BudgetEvent, 'seq'>): Promise<boolean> {
    const done = await this.#db
      .insertInto('budgetEvents')
      .values(event as never)
      .onConflict((conflict) => conflict.columns(['budgetId', 'month', 'percent', 'basis']).doNothing())
      .executeTakeFirst()
    return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
  }

  /** Newest first. */
  async events(about: { budgetId?: string; name?: string; month?: string; limit: number }): Promise<BudgetEvent[]> {
    let query = this.#db.selectFrom('budgetEvents').selectAll()
    if (about.budgetId !== undefined) query = query.where('budgetId', '=', about.budgetId)
    if (about.name !== undefined) query = query.where('budgetName', '=', about.name)
    if (about.month !== undefined) query = query.where('month', '=', about.month)
    return await query.orderBy('seq', 'desc').limit(about.limit).execute()
  }
}

function budgetOf({ thresholds, ...row }: Selectable<BudgetsTable>): Budget {
  return { ...row, thresholds: JSON.parse(thresholds) }
}
