import type { Command } from 'commander'
import { addBudgets } from './cost/budget.ts'
import { addCompare } from './cost/compare.ts'
import { addForecast } from './cost/forecast.ts'
import { addImageCost } from './cost/image.ts'
import { addReport } from './cost/report.ts'
import { addSimulate } from './cost/simulate.ts'

/** `kiln cost …`: a file of `cost/` for each command of the group, and one for the group itself. */
export function addCosts(program: Command): void {
  const cost = program.command('cost').description('what usage costs; this month so far, unless told otherwise')
  cost.helpCommand(false)
  for (const add of [addReport, addForecast, addImageCost, addCompare, addBudgets, addSimulate]) add(cost)
}
