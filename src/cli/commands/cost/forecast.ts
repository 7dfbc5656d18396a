/** `kiln cost forecast`: what this month will have cost at its end if everything that runs goes on as it is. */
import type { Command } from 'commander'
import { control, daemonOf } from '../../daemon.ts'
import { print, printJson, table } from '../../render.ts'
import { addCostFlags, type CostFlags, questionOf } from './cost-options.ts'
import type { Report, ReportGroup, ReportHead } from './cost-report.ts'
import { byCost, caveats, costCell, groupCells, groupHeadings, moneyOf, pricesLine } from './cost-report.ts'

interface Forecast extends ReportHead {
  soFar: Report
  atEnd: Report
}

export function addForecast(cost: Command): void {
  const forecast = cost.command('forecast').description('what this month will have cost if everything goes on as it is')
  addCostFlags(forecast).action(forecastCosts)
}

async function forecastCosts(flags: CostFlags): Promise<void> {
  const question = questionOf(flags, ['service'])
  const answer = await control<Forecast>(await daemonOf(flags.home), '/_kiln/costs/forecast', 'POST', question)
  if (flags.json) return printJson(answer)
  const { soFar, atEnd, currency } = answer
  const nameOf = ({ from, keys }: ReportGroup) => JSON.stringify([from, ...keys])
  const before = new Map(soFar.groups.map((group) => [nameOf(group), group]))
  const rows = byCost(atEnd.groups).map((group) => {
    const until = before.get(nameOf(group))
    return [...groupCells(answer, group), until ? costCell(until, currency) : null, costCell(group, currency)]
  })
  const headings = [...groupHeadings(answer), 'so far', 'by the end']
  const end = answer.to.slice(0, 10)
  const sum = `Together ${moneyOf(soFar.total, currency)} (${currency}) so far, ${moneyOf(atEnd.total, currency)} by ${end}.`
  print([table(headings, rows, 'Nothing is used.'), '', `${sum} ${pricesLine(answer)}`, ...caveats([atEnd])].join('\n'))
}
