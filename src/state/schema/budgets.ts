/** What may be spent in a month, and what became of it. */
import type { TimeMs } from '../schema.ts'

export interface BudgetsTable {
  /** Never used again, so that another budget of the same name has no events of this one. */
  id: string
  name: string
  /** Of a month; decimal digits. */
  amount: string
  /** ISO 4217. */
  currency: string
  /** Whose costs count, where, and of what tag; null for all. */
  accountId: string | null
  region: string | null
  tagKey: string | null
  tagValue: string | null
  /** JSON: a list of {@link BudgetThreshold}. */
  thresholds: string
  createdAt: TimeMs
  /** As `2026-11`: the last month that was judged after its end. */
  closedMonth: string | null
}

export interface BudgetThreshold {
  /** Of the amount; above 0. */
  percent: number
  /** What was used so far, or what will have been by the end of the month if everything goes on. */
  basis: 'actual' | 'forecast'
}

/** Appended, never changed: a threshold was crossed. They outlive their budget. */
export interface BudgetEventsTable {
  seq: number
  budgetId: string
  budgetName: string
  month: string
  percent: number
  basis: BudgetThreshold['basis']
  /** What it had come to; decimal digits. */
  cost: string
  amount: string
  currency: string
  crossedAt: TimeMs
}

export interface BudgetTables {
  budgets: BudgetsTable
  budgetEvents: BudgetEventsTable
}
