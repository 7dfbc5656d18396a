import type { Command } from 'commander'
import { systemClock } from '../../lib/clock.ts'
import { control, daemonOf } from '../daemon.ts'
import { homeOption, jsonOption } from '../options.ts'
import { duration, facts, print, printJson, table } from '../render.ts'
import { type Budget, budgetTable } from './cost/budget.ts'

interface Health {
  version: string
  machines: 'qemu' | 'simulated'
  accelerator: 'kvm' | 'tcg' | null
}

interface Overview {
  regions: string[]
  instances: Record<string, number>
  operations: { id: string; kind: string; subjectId: string; region: string; step: string; progress: number }[]
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('the daemon, its instances, and the work that is under way')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(status)
}

async function status(flags: { home: string; json?: boolean }): Promise<void> {
  const page = await daemonOf(flags.home)
  const [health, overview, budgets] = await Promise.all([
    control<Health>(page, '/_kiln/health'),
    control<Overview>(page, '/_kiln/status'),
    control<Budget[]>(page, '/_kiln/budgets'),
  ])
  const { url, pid, auth, startedAt } = page
  if (flags.json) return printJson({ url, pid, auth, startedAt, ...health, ...overview, budgets })
  const instances = Object.entries(overview.instances).map(([name, count]) => `${count} ${name}`)
  print(
    facts([
      ['url', url],
      ['version', health.version],
      ['process', `${pid}, up ${duration(systemClock.now() - startedAt)}`],
      ['machines', health.accelerator ? `${health.machines} (${health.accelerator})` : health.machines],
      ['access', auth === 'open' ? 'open: every access key is accepted' : 'signatures are verified'],
      ['regions', overview.regions.join(', ') || 'none opened yet'],
      ['instances', instances.join(', ') || 'none'],
    ]),
  )
  if (budgets.length > 0) print(`\n${budgetTable(budgets, '')}`)
  const rows = overview.operations.map(({ kind, subjectId, region, step, progress }) => [
    kind,
    subjectId,
    region,
    step,
    `${progress}%`,
  ])
  print('')
  print(table(['under way', 'for', 'region', 'step', 'progress'], rows, 'Nothing is under way.'))
}
