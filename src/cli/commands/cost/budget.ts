/** `kiln cost budget …`: what may be spent in a month, and what became of it. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { exactOf, fineMoneyText, isDecimal, shortText } from '../../../prices/money.ts'
import { control, daemonOf } from '../../daemon.ts'
import { homeOption, jsonOption, readAccount } from '../../options.ts'
import { facts, print, printJson, table, time } from '../../render.ts'
import { readTag, type TagFilter } from './cost-options.ts'

interface Threshold {
  percent: number
  basis: 'actual' | 'forecast'
}

/** As the daemon tells it. */
export interface Budget {
  name: string
  amount: string
  currency: string
  accountId: string | null
  region: string | null
  tag: TagFilter | null
  month: string
  soFar: string | null
  forecast: string | null
  isEstimated: boolean
  unpriced: string[]
  thresholds: (Threshold & { isCrossed: boolean })[]
}

interface BudgetEvent extends Threshold {
  budgetName: string
  month: string
  cost: string
  amount: string
  currency: string
  crossedAt: number
}

interface Flags {
  home: string
  json?: boolean
}

interface CreateFlags extends Flags {
  amount: string
  account?: string
  region?: string
  tag?: TagFilter
  at?: number[]
  atForecast?: number[]
}

/** Percent at which somebody is told who asked for nothing else. */
const usualThresholds: readonly Threshold[] = [
  { percent: 80, basis: 'actual' },
  { percent: 100, basis: 'actual' },
  { percent: 100, basis: 'forecast' },
]

export function addBudgets(cost: Command): void {
  const budget = cost.command('budget').description('what may be spent in a month').helpCommand(false)
  budget
    .command('create')
    .description('watch the costs of each month, and note when they come to a part of an amount')
    .argument('<name>')
    .addOption(
      new Option('--amount <amount>', "of a month, in the prices' currency")
        .argParser(readAmount)
        .makeOptionMandatory(),
    )
    .addOption(percentOption('--at <percent>', 'of what was used (default: 80 and 100); may be given again'))
    .addOption(percentOption('--at-forecast <percent>', 'of what will have been used by the end (default: 100)'))
    .addOption(new Option('--account <digits>', 'only of this account (default: all)').argParser(readAccount))
    .option('--region <name>', 'only in this region (default: all)')
    .addOption(new Option('--tag <key=value>', 'only of what has this tag').argParser(readTag))
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(create)
  withCommon(budget.command('list').description('all budgets, and how far this month has come')).action(list)
  withCommon(budget.command('show').description('one of them').argument('<name>')).action(show)
  withCommon(budget.command('delete').description('watch it no more; what it noted stays').argument('<name>')).action(
    remove,
  )
  withCommon(
    budget.command('events').description('thresholds that were crossed, newest first').argument('[name]'),
  ).action(events)
}

const withCommon = (command: Command): Command => command.addOption(homeOption()).addOption(jsonOption())

const percentOption = (flags: string, description: string) =>
  new Option(flags, description).argParser((text: string, before: number[] | undefined) => [
    ...(before ?? []),
    readPercent(text),
  ])

function readPercent(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1000) return Number(text)
  throw new InvalidArgumentError('It is a whole number of percent from 1 to 1000.')
}

function readAmount(text: string): string {
  if (isDecimal(text) && exactOf(text).compare(0) > 0) return text
  throw new InvalidArgumentError('It takes a decimal number above 0, as 100 or 12.50.')
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  const { amount, account, region, tag, at, atForecast, home, json } = flags
  const chosen: Threshold[] = [
    ...(at ?? []).map((percent) => ({ percent, basis: 'actual' as const })),
    ...(atForecast ?? []).map((percent) => ({ percent, basis: 'forecast' as const })),
  ]
  const thresholds = chosen.length > 0 ? chosen : usualThresholds
  const wish = { name, amount, account, region, tag, thresholds }
  showOne(await control<Budget>(await daemonOf(home), '/_kiln/budgets', 'POST', wish), json)
}

async function list({ home, json }: Flags): Promise<void> {
  const budgets = await control<Budget[]>(await daemonOf(home), '/_kiln/budgets')
  if (json) return printJson(budgets)
  print(budgetTable(budgets, "No budgets. Make one with 'kiln cost budget create'."))
}

async function show(name: string, { home, json }: Flags): Promise<void> {
  showOne(await control<Budget>(await daemonOf(home), pathOf(name)), json)
}

async function remove(name: string, { home, json }: Flags): Promise<void> {
  await control(await daemonOf(home), pathOf(name), 'DELETE')
  if (json) return printJson({ name })
  print(`the budget ${name} is deleted`)
}

async function events(name: string | undefined, { home, json }: Flags): Promise<void> {
  const query = name === undefined ? '' : `?${new URLSearchParams({ budget: name })}`
  const found = await control<BudgetEvent[]>(await daemonOf(home), `/_kiln/budget-events${query}`)
  if (json) return printJson(found)
  const rows = found.map(({ crossedAt, budgetName, month, cost, amount, currency, ...threshold }) => [
    ...[time(crossedAt)!, budgetName, month, thresholdText(threshold)],
    ...[fineMoneyText(exactOf(cost), currency), fineMoneyText(exactOf(amount), currency)],
  ])
  print(table(['time (UTC)', 'budget', 'month', 'crossed', 'cost', 'amount'], rows, 'No threshold was crossed yet.'))
}

const pathOf = (name: string) => `/_kiln/budgets/${encodeURIComponent(name)}`

function showOne(budget: Budget, json = false): void {
  if (json) {
    printJson(budget)
    return
  }
  const { name, month, thresholds, unpriced } = budget
  print(
    facts([
      ['budget', name],
      ['of', scopeText(budget)],
      ['amount a month', fineMoneyText(exactOf(budget.amount), budget.currency)],
      [`so far in ${month}`, partText(budget, budget.soFar)],
      ['by its end', partText(budget, budget.forecast)],
      ['told at', thresholds.map(thresholdText).join(', ')],
      ['crossed', crossedText(budget)],
      ['without a price', unpriced.length > 0 ? unpriced.join(', ') : undefined],
    ]),
  )
}

export function budgetTable(budgets: readonly Budget[], nothing: string): string {
  const rows = budgets.map((budget) => [
    ...[budget.name, scopeText(budget), fineMoneyText(exactOf(budget.amount), budget.currency)],
    ...[partText(budget, budget.soFar), partText(budget, budget.forecast), crossedText(budget)],
  ])
  return table(['budget', 'of', 'a month', 'so far', 'by its end', 'crossed'], rows, nothing)
}

const scopeText = ({ accountId, region, tag }: Budget): string =>
  [accountId, region, tag && `${tag.key}=${tag.value}`].filter(Boolean).join(', ') || 'everything'

/** `$12.50 (25%)` */
function partText({ amount, currency, isEstimated }: Budget, cost: string | null): string {
  if (cost === null) return 'the prices have another currency'
  const percent = shortText(exactOf(cost).mul(100).div(exactOf(amount)), 0)
  return `${isEstimated ? '~' : ''}${fineMoneyText(exactOf(cost), currency)} (${percent}%)`
}

const crossedText = ({ thresholds }: Budget): string =>
  thresholds
    .filter(({ isCrossed }) => isCrossed)
    .map(thresholdText)
    .join(', ') || 'nothing'

const thresholdText = ({ percent, basis }: Threshold): string => `${percent}%${basis === 'forecast' ? ' forecast' : ''}`
