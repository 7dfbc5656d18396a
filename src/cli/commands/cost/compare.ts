/** `kiln cost compare`: which kind of image a day's work is cheaper with. No daemon is asked but for --instance. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Exact, exactOf, isCurrency, isDecimal, reportText } from '../../../prices/money.ts'
import { compareWorkload, type StoredImage, type Workload } from '../../../prices/workload.ts'
import { UsageError } from '../../failure.ts'
import { homeOption, jsonOption, pricesOption, readInstanceId, regionOption } from '../../options.ts'
import { print, printJson } from '../../render.ts'
import { compareInstance } from './compare-instance.ts'
import { comparisonJson, comparisonTable, verdict } from './comparison.ts'
import { type SheetPrices, sheetPrices } from './sheet-prices.ts'

interface CompareFlags {
  home: string
  region: string
  instance?: string
  instanceType?: string
  volumeType: string
  prices?: string
  rate?: Exact
  hoursPerDay?: Exact
  days?: Exact
  volumeGb?: Exact
  volumePriceMonth?: Exact
  volumePriceGbMonth?: Exact
  bundleGb?: Exact
  bundlePriceGbMonth?: Exact
  snapshotGb?: Exact
  snapshotPriceGbMonth?: Exact
  currency?: string
  json?: boolean
}

export function addCompare(cost: Command): void {
  cost
    .command('compare')
    .description('compare an instance that cannot be stopped (instance store) with one that can (EBS-backed)')
    .addOption(
      new Option('--instance <id>', 'out of what this one has done so far, as the daemon knows it')
        .argParser(readInstanceId)
        // What it has done says all of that.
        .conflicts(['instanceType', 'rate', 'days', 'volumeGb', 'volumePriceMonth', 'volumePriceGbMonth', 'currency']),
    )
    .option('--instance-type <type>', "what is not given comes from the price sheet's prices of this type, in --region")
    .option('--volume-type <type>', 'and of such volumes', 'gp3')
    .addOption(pricesOption())
    .addOption(regionOption())
    .addOption(homeOption())
    .addOption(number('--rate <amount>', 'price of an hour of running, as 0.10', upTo()))
    .addOption(number('--hours-per-day <hours>', 'how long it has work a day', upTo('24')))
    .addOption(number('--days <days>', 'for so many days; 30 are a month', upTo('36600', 'above')))
    .addOption(number('--volume-gb <gb>', 'size of the EBS-backed root volume', upTo()))
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
    .addOption(
      new Option('--currency <code>', "of all amounts (default: the sheet's, else USD)")
        .argParser(readCurrency)
        .conflicts('instanceType'),
    )
    .addOption(jsonOption())
    .action(compare)
}

async function compare(flags: CompareFlags): Promise<void> {
  const { instance, instanceType, region, volumeType, hoursPerDay, json } = flags
  if (instance)
    return await compareInstance(instance, { ...flags, hoursPerDay: hoursPerDay && reportText(hoursPerDay) })
  const sheet = instanceType ? await sheetPrices({ instanceType, region, volumeType, prices: flags.prices }) : undefined
  const [workload, currency] = [workloadOf(flags, sheet), flags.currency ?? sheet?.currency ?? 'USD']
  const comparison = compareWorkload(workload)
  if (json) printJson(comparisonJson(comparison, currency))
  else print(`${comparisonTable(workload, comparison, currency)}\n\n${verdict(comparison, currency)}`)
}

function number(flags: string, description: string, parser: (text: string) => Exact): Option {
  return new Option(flags, description).argParser(parser)
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

function workloadOf(flags: CompareFlags, sheet: SheetPrices | undefined): Workload {
  const { volumePriceMonth, bundleGb, snapshotGb } = flags
  const volumePriceGbMonth = flags.volumePriceGbMonth ?? (volumePriceMonth ? undefined : sheet?.volumeGbMonth)
  if (!volumePriceMonth && !volumePriceGbMonth) {
    throw new UsageError('what the volume costs is missing: give --volume-price-month or --volume-price-gb-month')
  }
  return {
    hourlyRate: given(flags.rate ?? sheet?.rate, '--rate (or --instance-type)'),
    hoursPerDay: given(flags.hoursPerDay, '--hours-per-day'),
    days: given(flags.days, '--days'),
    volumeGb: given(flags.volumeGb, '--volume-gb'),
    volumePrice: volumePriceMonth ? { perMonth: volumePriceMonth } : { perGbMonth: volumePriceGbMonth! },
    bundle: storedImage('bundle', bundleGb, flags.bundlePriceGbMonth ?? (bundleGb && sheet?.bundleGbMonth)),
    snapshot: storedImage('snapshot', snapshotGb, flags.snapshotPriceGbMonth ?? (snapshotGb && sheet?.snapshotGbMonth)),
  }
}

function given(value: Exact | undefined, flag: string): Exact {
  if (value) return value
  throw new UsageError(`${flag} is missing; with --instance, what it has done tells`)
}

function storedImage(name: string, gb: Exact | undefined, perGbMonth: Exact | undefined): StoredImage | undefined {
  if (gb && perGbMonth) return { gb, perGbMonth }
  if (!gb && !perGbMonth) return undefined
  throw new UsageError(`--${name}-gb and --${name}-price-gb-month are given together, or neither`)
}
