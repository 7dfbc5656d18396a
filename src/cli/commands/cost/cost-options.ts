/** What commands about costs have in common: the window, the groups and whose, as flags and as a question to the daemon. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { parseUtc, utcTimeForms } from '../../../lib/utc-times.ts'
import { UsageError } from '../../failure.ts'
import { homeOption, jsonOption, readAccount } from '../../options.ts'

const periods = ['hour', 'day', 'month'] as const
export type Period = (typeof periods)[number]

const groups = [
  ...['resource', 'image', 'account', 'region', 'service', 'usage-type', 'instance-type', 'product-family'],
  'resource-kind',
]

export interface CostFlags {
  home: string
  by?: string[]
  from?: string
  to?: string
  account?: string[]
  region?: string[]
  tag?: TagFilter[]
  json?: boolean
}

export interface TagFilter {
  key: string
  value: string
}

/** As `POST /_kiln/costs` takes it. */
export interface CostQuestion {
  from?: string
  to?: string
  granularity: Period | 'total'
  groupBy: string[]
  accounts?: string[]
  filter?: { all: { dimension: string; values: string[] }[] }
  withResources?: boolean
}

export function addCostFlags(command: Command): Command {
  const repeated = <T>(flags: string, description: string, read: (text: string) => T) =>
    new Option(flags, description).argParser((text: string, before: T[] | undefined) => [...(before ?? []), read(text)])
  return command
    .addOption(repeated('--by <what>', `${[...groups, 'tag:KEY', ...periods].join(', ')}; may be given again`, readBy))
    .addOption(homeOption())
    .addOption(repeated('--account <digits>', 'only of this account (default: all)', readAccount))
    .addOption(repeated('--region <name>', 'only in this region (default: all)', String))
    .addOption(repeated('--tag <key=value>', 'only of what has this tag', readTag))
    .addOption(jsonOption())
}

export function addWindowFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--from <time>', 'from when, in UTC (default: the beginning of this month)').argParser(readTime),
    )
    .addOption(
      new Option('--to <time>', 'until when, which is not counted (default: the end of that month)').argParser(
        readTime,
      ),
    )
}

export function questionOf(
  { by = [], from, to, account, region, tag = [] }: CostFlags,
  groupsWithout: string[],
): CostQuestion {
  const [period, ...more] = periodsIn(by)
  if (more.length > 0) throw new UsageError(`--by ${period} and --by ${more[0]} do not go together`)
  const chosen = by.filter((one) => one !== period)
  const wanted = [
    ...(region ? [{ dimension: 'region', values: region }] : []),
    ...tag.map(({ key, value }) => ({ dimension: `tag:${key}`, values: [value] })),
  ]
  return {
    ...{ from, to, granularity: period ?? 'total', accounts: account },
    groupBy: [...new Set(by.length > 0 ? chosen : groupsWithout)],
    filter: wanted.length > 0 ? { all: wanted } : undefined,
  }
}

export const periodsIn = (by: readonly string[]): Period[] => [
  ...new Set(by.filter((one): one is Period => (periods as readonly string[]).includes(one))),
]

function readBy(text: string): string {
  if (groups.includes(text) || (periods as readonly string[]).includes(text) || /^tag:./.test(text)) return text
  throw new InvalidArgumentError(`It is one of ${[...groups, 'tag:KEY', ...periods].join(', ')}.`)
}

function readTime(text: string): string {
  if (parseUtc(text) !== undefined) return text
  throw new InvalidArgumentError(`It is ${utcTimeForms}.`)
}

/** `team=blue`; the value may be empty, and may hold more equals signs. */
export function readTag(text: string): TagFilter {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (key !== undefined && value !== undefined) return { key, value }
  throw new InvalidArgumentError('A tag is a key, an equals sign and a value, as team=blue.')
}
