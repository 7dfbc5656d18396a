/** `kiln cost`: what was used and what it costs, in groups; as a table, as JSON, or as AWS's own report in CSV. */
import type { Command } from 'commander'
import { control, daemonOf } from '../../daemon.ts'
import { UsageError } from '../../failure.ts'
import { print, printJson } from '../../render.ts'
import { costCsv, type DetailedReport } from './cost-csv.ts'
import { addCostFlags, addWindowFlags, type CostFlags, periodsIn, questionOf } from './cost-options.ts'
import { caveats, type Report, type ReportHead, reportTable, totalLine } from './cost-report.ts'

interface ReportFlags extends CostFlags {
  csv?: boolean
}

/** The group itself, asked without a command of its own. */
export function addReport(cost: Command): void {
  addWindowFlags(addCostFlags(cost))
    .option('--csv', "a line for each resource, in the columns of AWS's Cost and Usage Report 2.0")
    .action(report)
}

async function report(flags: ReportFlags): Promise<void> {
  if (flags.csv) return await printCsv(flags)
  const question = questionOf(flags, ['usage-type'])
  const answer = await control<ReportHead & Report>(await daemonOf(flags.home), '/_kiln/costs', 'POST', question)
  if (flags.json) return printJson(answer)
  print([reportTable(answer, answer), '', totalLine(answer, answer), ...caveats([answer])].join('\n'))
}

async function printCsv(flags: ReportFlags): Promise<void> {
  const { by = [], json } = flags
  if (json) throw new UsageError('--csv and --json do not go together')
  if (periodsIn(by).length !== by.length) {
    throw new UsageError('--csv has a line for each resource: --by takes hour, day (the default) or month with it')
  }
  const question = questionOf({ ...flags, by: by.length > 0 ? by : ['day'] }, [])
  const answer = await control<DetailedReport>(await daemonOf(flags.home), '/_kiln/costs', 'POST', {
    ...{ ...question, groupBy: ['account', 'resource'], withResources: true },
  })
  process.stdout.write(costCsv(answer))
  for (const line of caveats([answer])) process.stderr.write(`kiln: ${line}\n`)
}
