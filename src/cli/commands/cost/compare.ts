/** `kiln cost compare`: which kind of image a day's work is cheaper with. Pure arithmetic; no daemon is asked. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Exact, exactOf, isCurrency, isDecimal, moneyText, reportText, shortText } from '../../../prices/money.ts'
import {
  type Comparison,
  type CostItem,
  compareWorkload,
  type ImageKind,
  type KindCosts,
  type StoredImage,
  type Workload,
} from '../../../prices/workload.ts'
import { UsageError } from '../../failure.ts'
import { jsonOption } from '../../options.ts'
import { print, printJson, table } from '../../render.ts'

interface CompareFlags {
  rate: Exact
  hoursPerDay: Exact
  days: Exact
  volumeGb: Exact
  volumePriceMonth?: Exact
  volumePriceGbMonth?: Exact
  bundleGb?: Exact
  bundlePriceGbMonth?: Exact
  snapshotGb?: Exact
  snapshotPriceGbMonth?: Exact
  currency: string
  json?: boolean
}

const kindNames: Readonly<Record<ImageKind, string>> = { instanceStore: 'instance store', ebs: 'EBS-backed' }

export function addCompare(cost: Command): void {
  cost
    .command('compare')
    .description('compare an instance that cannot be stopped (instance store) with one that can (EBS-backed)')
    .addOption(needed('--rate <amount>', 'price of an hour of running, as 0.10', upTo()))
    .addOption(needed('--hours-per-day <hours>', 'how long it has work a day', upTo('24')))
    .addOption(needed('--days <days>', 'for so many days; 30 are a month', upTo('36600', 'above')))
    .addOption(needed('--volume-gb <gb>', 'size of the EBS-backed root volume', upTo()))
    .addOption(
      new Option('--volume-price-month <amount>', 'price of the whole volume for a month')
        .argParser(upTo())
        .conflicts('volumePriceGbMonth'),
    )
    .addOption(new Option('--volume-price-gb-month <amount>', 'price of a GB of it for a month').argParser(upTo()))
    .addOption(new Option('--bundle-gb <gb>', 'size of the bundle in S3 as well').argParser(upTo()))
    .addOption(new Option('--bundle-price-gb-month <amount>', 'price of a GB of it for a month').argParser(upTo()))
    .addOption(new Option('--snapshot-gb <gb>', "size of the EBS-backed image's snapshot as well").argParser(upTo()))
    .addOption(new Option('--snapshot-price-gb-month <amount>', 'price of a GB of it for a month').argParser(upTo()))
    .addOption(new Option('--currency <code>', 'of all amounts').default('USD').argParser(readCurrency))
    .addOption(jsonOption())
    .action(compare)
}

function compare(flags: CompareFlags): void {
  const workload = workloadOf(flags)
  const comparison = compareWorkload(workload)
  if (flags.json) printJson(jsonOf(comparison, flags.currency))
  else print(`${tableOf(workload, comparison, flags.currency)}\n\n${verdict(comparison, flags.currency)}`)
}

function needed(flags: string, description: string, parser: (text: string) => Exact): Option {
  return new Option(flags, description).argParser(parser).makeOptionMandatory()
}

/** Reads a number that is not negative, up to a bound; with `above`, more than 0. */
function upTo(most?: string, least: 'from' | 'above' = 'from'): (text: string) => Exact {
  const range = `${least === 'above' ? 'above 0' : 'from 0'}${most ? ` to ${most}` : ''}`
  return (text) => {
    const value = isDecimal(text) ? exactOf(text) : undefined
    const tooLow = value && (least === 'above' ? value.compare(0) <= 0 : value.compare(0) < 0)
    if (value && !tooLow && !(most && value.compare(exactOf(most)) > 0)) return value
    throw new InvalidArgumentError(`It takes a decimal number ${range}, as 0.10.`)
  }
}

function readCurrency(text: string): string {
  if (isCurrency(text)) return text
  throw new InvalidArgumentError('A currency is its code of ISO 4217, as USD.')
}

function workloadOf(flags: CompareFlags): Workload {
  const { rate: hourlyRate, hoursPerDay, days, volumeGb, volumePriceMonth, volumePriceGbMonth } = flags
  const { bundleGb, bundlePriceGbMonth, snapshotGb, snapshotPriceGbMonth } = flags
  if (!volumePriceMonth && !volumePriceGbMonth) {
    throw new UsageError('what the volume costs is missing: give --volume-price-month or --volume-price-gb-month')
  }
  return {
    ...{ hourlyRate, hoursPerDay, days, volumeGb },
    volumePrice: volumePriceMonth ? { perMonth: volumePriceMonth } : { perGbMonth: volumePriceGbMonth! },
    bundle: storedImage('bundle', bundleGb, bundlePriceGbMonth),
    snapshot: storedImage('snapshot', snapshotGb, snapshotPriceGbMonth),
  }
}

function storedImage(name: string, gb: Exact | undefined, perGbMonth: Exact | undefined): StoredImage | undefined {
  if (gb && perGbMonth) return { gb, perGbMonth }
  if (!gb && !perGbMonth) return undefined
  throw new UsageError(`--${name}-gb and --${name}-price-gb-month are given together, or neither`)
}

function tableOf(workload: Workload, { instanceStore, ebs }: Comparison, currency: string): string {
  const cost = (costs: KindCosts, item: CostItem) => {
    const line = costs.lines.find((one) => one.item === item)
    return line && moneyText(line.cost, currency)
  }
  const { hoursPerDay, days, volumeGb, bundle, snapshot } = workload
  const labels: [CostItem, string][] = [
    ['instance', `instance, ${shortText(days, 2)} days of 24 h, or of ${shortText(hoursPerDay, 2)} h`],
    ['volume', `volume of ${shortText(volumeGb, 2)} GB`],
    ...(bundle ? [['bundle', `bundle of ${shortText(bundle.gb, 2)} GB`] as [CostItem, string]] : []),
    ...(snapshot ? [['snapshot', `snapshot of ${shortText(snapshot.gb, 2)} GB`] as [CostItem, string]] : []),
  ]
  const rows = labels.map(([item, label]) => [label, cost(instanceStore, item), cost(ebs, item)])
  const totals = ['together', moneyText(instanceStore.total, currency), moneyText(ebs.total, currency)]
  return table(['cost of', kindNames.instanceStore, kindNames.ebs], [...rows, totals], '')
}

function verdict({ cheaper, saved, breakEvenHoursPerDay: hours }: Comparison, currency: string): string {
  if (!cheaper) return 'Both cost the same.'
  const saver = cheaper === 'ebs' ? 'EBS-backed' : 'The instance store'
  return `${saver} saves ${moneyText(saved, currency)}${breakEvenText(hours)}.`
}

/** When the other one would be the better; nothing where hours of work decide nothing. */
function breakEvenText(hours: Exact | null): string {
  if (!hours) return ''
  if (hours.compare(0) <= 0 || hours.compare(24) > 0) return ', however few or many hours of a day have work'
  return `; both cost the same at ${shortText(hours, 2)} h of work a day`
}

function jsonOf({ instanceStore, ebs, cheaper, saved, breakEvenHoursPerDay }: Comparison, currency: string) {
  const costs = ({ lines, total }: KindCosts) => ({
    lines: lines.map(({ item, cost }) => ({ item, cost: reportText(cost) })),
    total: reportText(total),
  })
  return {
    ...{ currency, instanceStore: costs(instanceStore), ebs: costs(ebs), cheaper, saved: reportText(saved) },
    breakEvenHoursPerDay: breakEvenHoursPerDay && reportText(breakEvenHoursPerDay),
  }
}
