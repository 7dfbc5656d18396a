/**
 * Budgets: what may be spent in a month, and at which parts of it somebody wants to be told. A threshold that is crossed is
 * an event, once in a month: the database knows each only once, so whoever judges again, after a crash or beside another
 * daemon, adds none. A month that ended while nobody judged is judged afterwards.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { parseUtc, startOfMonth } from '../../lib/utc-times.ts'
import { type Exact, exactOf, isDecimal, ratio, reportText, zero } from '../../prices/money.ts'
import type { Budget, BudgetEvent, BudgetThreshold } from '../../state/budgets.ts'
import type { CloudDeps } from '../deps.ts'
import { type CostFilter, type CostQuery, monthOf } from './cost-query.ts'
import type { CostReport, Costs } from './costs.ts'

export interface BudgetWish {
  name: string
  /** Of a month, in the price sheet's currency; a decimal. */
  amount: string
  accountId: string | null
  region: string | null
  tag: { key: string; value: string } | null
  thresholds: BudgetThreshold[]
}

/** A budget as it stands. Money is told as decimals. */
export interface BudgetView {
  name: string
  amount: string
  currency: string
  accountId: string | null
  region: string | null
  tag: { key: string; value: string } | null
  month: string
  /** Null when the price sheet has another currency by now: nothing is judged then. */
  soFar: string | null
  forecast: string | null
  isEstimated: boolean
  /** Usage that counts as nothing, because it has no price. */
  unpriced: string[]
  thresholds: (BudgetThreshold & { isCrossed: boolean })[]
  createdAt: number
}

type Deps = Pick<CloudDeps, 'state' | 'clock' | 'log' | 'random'>

/** Months that are judged after their end at the most. */
const mostMonths = 24

export class Budgets {
  readonly #deps: Deps
  readonly #costs: Costs

  constructor(deps: Deps, costs: Costs) {
    this.#deps = deps
    this.#costs = costs
  }

  /** What is crossed already is told at once. */
  async create(wish: BudgetWish): Promise<BudgetView> {
    checkWish(wish)
    const { state, random, clock } = this.#deps
    const { name, amount, accountId, region, tag, thresholds } = wish
    const budget: Budget = {
      ...{ id: newId('budget', random), name, amount, accountId, region, thresholds },
      ...{ currency: this.#costs.sheet.head.currency, createdAt: clock.now(), closedMonth: null },
      ...{ tagKey: tag?.key ?? null, tagValue: tag?.value ?? null },
    }
    await state.transaction(async (tx) => {
      if ((await tx.budgets.list()).length >= limits.budgets) {
        throw new KilnError('ResourceLimitExceeded', `There are ${limits.budgets} budgets already, and no more may be`)
      }
      if (await tx.budgets.insert(budget)) return
      throw new KilnError('DuplicateRecordException', `There is a budget '${name}' already`)
    })
    await this.#judge(budget)
    return await this.#view(budget)
  }

  async list(): Promise<BudgetView[]> {
    const views: BudgetView[] = []
    for (const budget of await this.#deps.state.budgets.list()) views.push(await this.#view(budget))
    return views
  }

  async get(name: string): Promise<BudgetView> {
    const budget = await this.#deps.state.budgets.get(name)
    if (budget) return await this.#view(budget)
    throw unknown(name)
  }

  async remove(name: string): Promise<void> {
    if (!(await this.#deps.state.budgets.remove(name))) throw unknown(name)
  }

  /** Newest first, of budgets that are no more as well. */
  events(name?: string): Promise<BudgetEvent[]> {
    return this.#deps.state.budgets.events({ name, limit: limits.pageMax })
  }

  /** Judges every budget. */
  async pass(): Promise<void> {
    for (const budget of await this.#deps.state.budgets.list()) await this.#judge(budget)
  }

  async #judge(budget: Budget): Promise<void> {
    if (budget.currency !== this.#costs.sheet.head.currency) return
    const nowS = this.#costs.nowS()
    for (const monthS of monthsToJudge(budget, nowS)) {
      await this.#judgeMonth(budget, monthS, nowS)
      if (startOfMonth(monthS, 1) <= nowS) await this.#deps.state.budgets.close(budget.id, monthOf(monthS))
    }
  }

  async #judgeMonth(budget: Budget, monthS: number, nowS: number): Promise<void> {
    const month = monthOf(monthS)
    const crossed = await this.#crossedIn(budget, month)
    const open = budget.thresholds.filter((threshold) => !crossed.has(nameOf(threshold)))
    const query = queryOf(budget, monthS)
    const ways = [
      { basis: 'actual', asOfS: nowS },
      { basis: 'forecast', asOfS: Math.max(nowS, query.toS) },
    ] as const
    for (const { basis, asOfS } of ways) {
      const thresholds = open.filter((threshold) => threshold.basis === basis)
      if (thresholds.length === 0) continue
      const { total } = await this.#costs.report(query, asOfS)
      const reached = thresholds.filter(({ percent }) => total.compare(partOf(budget, percent)) >= 0)
      for (const threshold of reached.sort((a, b) => a.percent - b.percent))
        await this.#cross(budget, month, threshold, total)
    }
  }

  async #cross(budget: Budget, month: string, { percent, basis }: BudgetThreshold, total: Exact): Promise<void> {
    const { state, clock, log } = this.#deps
    const { id: budgetId, name: budgetName, amount, currency } = budget
    const event = { budgetId, budgetName, month, percent, basis, cost: reportText(total), amount, currency }
    if (!(await state.budgets.cross({ ...event, crossedAt: clock.now() }))) return
    const what = basis === 'actual' ? 'what was used' : 'what will have been used by the end of the month'
    log.warn(event, `${what} has come to ${percent}% of the budget ${budgetName}`)
  }

  async #crossedIn({ id }: Budget, month: string): Promise<Set<string>> {
    const events = await this.#deps.state.budgets.events({ budgetId: id, month, limit: limits.pageMax })
    return new Set(events.map(nameOf))
  }

  async #view(budget: Budget): Promise<BudgetView> {
    const { name, amount, currency, accountId, region, tagKey, tagValue, createdAt } = budget
    const monthS = startOfMonth(this.#costs.nowS())
    const month = monthOf(monthS)
    const crossed = await this.#crossedIn(budget, month)
    const isComparable = currency === this.#costs.sheet.head.currency
    const costs = isComparable ? await this.#costs.forecast(queryOf(budget, monthS)) : undefined
    return {
      ...{ name, amount, currency, accountId, region, month, createdAt },
      tag: tagKey === null ? null : { key: tagKey, value: tagValue ?? '' },
      soFar: costs ? reportText(costs.soFar.total) : null,
      forecast: costs ? reportText(costs.atEnd.total) : null,
      isEstimated: costs?.soFar.groups.some(({ isEstimated }) => isEstimated) ?? false,
      unpriced: costs ? unpricedIn(costs.atEnd) : [],
      thresholds: budget.thresholds.map((threshold) => ({ ...threshold, isCrossed: crossed.has(nameOf(threshold)) })),
    }
  }
}

/** The beginnings of months that are not closed, from that in which the budget was made to this one. */
function monthsToJudge({ createdAt, closedMonth }: Budget, nowS: number): number[] {
  const thisMonthS = startOfMonth(nowS)
  const firstS = closedMonth ? startOfMonth(parseUtc(closedMonth)!, 1) : startOfMonth(createdAt / 1000)
  const months: number[] = []
  for (
    let monthS = Math.max(firstS, startOfMonth(nowS, -mostMonths));
    monthS < thisMonthS;
    monthS = startOfMonth(monthS, 1)
  ) {
    months.push(monthS)
  }
  return [...months, thisMonthS]
}

function queryOf({ accountId, region, tagKey, tagValue }: Budget, monthS: number): CostQuery {
  const filters: CostFilter[] = []
  if (region !== null) filters.push({ dimension: 'region', values: [region] })
  if (tagKey !== null) filters.push({ dimension: `tag:${tagKey}`, values: [tagValue ?? ''] })
  return {
    ...{ fromS: monthS, toS: startOfMonth(monthS, 1), granularity: 'total', groupBy: [] },
    ...{ accountIds: accountId === null ? undefined : [accountId], filter: { all: filters } },
  }
}

const partOf = ({ amount }: Budget, percent: number): Exact => exactOf(amount).mul(ratio(BigInt(percent), 100n))

const nameOf = ({ basis, percent }: BudgetThreshold): string => `${basis} ${percent}`

const unpricedIn = ({ groups }: CostReport): string[] => [
  ...new Set(groups.flatMap(({ unpriced }) => unpriced.map(({ usageType, region }) => `${usageType} in ${region}`))),
]

const unknown = (name: string) => new KilnError('NotFoundException', `There is no budget '${name}'`)

function checkWish({ name, amount, thresholds }: BudgetWish): void {
  const refuse = (message: string) => new KilnError('InvalidParameterValue', message)
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
    throw refuse(
      `name '${name}' is not 1 to 100 letters, digits, dots, hyphens and underscores that begin with a letter or digit`,
    )
  }
  if (!isDecimal(amount) || exactOf(amount).compare(zero) <= 0) {
    throw refuse(`amount '${amount}' is not a decimal number above 0, as 100 or 12.50`)
  }
  if (thresholds.length === 0 || thresholds.length > limits.thresholdsPerBudget) {
    throw refuse(`thresholds has ${thresholds.length} items: 1 to ${limits.thresholdsPerBudget} are allowed`)
  }
  for (const { percent } of thresholds) {
    if (!Number.isInteger(percent) || percent < 1 || percent > mostPercent) {
      throw refuse(`thresholds: ${percent} is not a whole number of percent from 1 to ${mostPercent}`)
    }
  }
  if (new Set(thresholds.map(nameOf)).size < thresholds.length) throw refuse('thresholds: one is there twice')
}

const mostPercent = 1000
