/** `kiln cost simulate`: what a plan costs, lived through by the same metering that bills a cloud. No daemon is asked. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { moneyText, reportText, shortText } from '../../../prices/money.ts'
import { BadPriceSheet } from '../../../prices/sheet-problems.ts'
import { readPriceSheet } from '../../../prices/sheets.ts'
import type { SimulatedCosts } from '../../../server.ts'
import { UsageError } from '../../failure.ts'
import { jsonOption } from '../../options.ts'
import { print, printJson, table } from '../../render.ts'
import { readScenario, type ScenarioFile } from './scenario-file.ts'

export function addSimulate(cost: Command): void {
  cost
    .command('simulate')
    .description('what instances, volumes and snapshots of a plan would cost; no daemon is asked, nothing is launched')
    .argument('<scenario>', 'a YAML file, as docs/examples/tutorial-month.yaml')
    .addOption(jsonOption())
    .action(simulate)
}

async function simulate(path: string, { json }: { json?: boolean }): Promise<void> {
  const text = await readFile(path, 'utf8')
  const { scenario, prices } = inFile(path, () => readScenario(text))
  const sheet = prices === null ? undefined : await sheetAt(resolve(dirname(path), prices))
  const { simulateCosts } = await import('../../../server.ts')
  const costs = await simulateCosts(scenario, sheet)
  if (json) printJson(jsonOf(scenario, costs))
  else print(textOf(costs))
}

async function sheetAt(path: string) {
  const file = await readFile(path)
  return inFile(path, () => readPriceSheet(file))
}

/** What is wrong with a file is told with its name. */
function inFile<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof BadPriceSheet)) throw error
    throw new UsageError(`${path}: ${error.message}`)
  }
}

/** A line for each usage type, region and month of each resource, by names. */
function linesOf({ report, names }: SimulatedCosts) {
  const lines = report.groups.flatMap(({ keys: [id], lines: rated }) =>
    rated.map((line) => ({ resource: names.get(id!) ?? id!, line })),
  )
  return lines.sort((a, b) => a.resource.localeCompare(b.resource, 'en', { numeric: true }))
}

function textOf(costs: SimulatedCosts): string {
  const { currency, total } = costs.report
  const rows = linesOf(costs).map(({ resource, line }) => [
    ...[resource, line.region, line.month, line.usageType, `${shortText(line.quantity, 4)} ${line.unit}`],
    ...[shortText(line.price, 6), moneyText(line.cost, currency)],
  ])
  const headings = ['resource', 'region', 'month', 'usage type', 'quantity', 'price', 'cost']
  const unpriced = unpricedOf(costs).map((message) => `Not counted: ${message}.`)
  return [
    table(headings, rows, 'Nothing that costs.'),
    '',
    ...unpriced,
    `Together ${moneyText(total, currency)}.`,
  ].join('\n')
}

const unpricedOf = ({ report }: SimulatedCosts) => [
  ...new Set(report.groups.flatMap(({ unpriced }) => unpriced.map(({ message }) => message))),
]

function jsonOf({ fromS, toS }: ScenarioFile['scenario'], costs: SimulatedCosts) {
  const time = (seconds: number) => new Date(seconds * 1000).toISOString()
  return {
    ...{ from: time(fromS), to: time(toS), currency: costs.report.currency, total: reportText(costs.report.total) },
    lines: linesOf(costs).map(({ resource, line }) => ({
      ...{ resource, region: line.region, month: line.month, usageType: line.usageType, unit: line.unit },
      ...{ quantity: reportText(line.quantity), price: reportText(line.price), cost: reportText(line.cost) },
    })),
    unpriced: unpricedOf(costs),
  }
}
