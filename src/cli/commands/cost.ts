import type { Command } from 'commander'
import { addCompare } from './cost/compare.ts'
import { addSimulate } from './cost/simulate.ts'

/** `kiln cost …`: a file of `cost/` for each command of the group. */
export function addCosts(program: Command): void {
  const cost = program.command('cost').description('what usage costs').helpCommand(false)
  for (const add of [addCompare, addSimulate]) add(cost)
}
