/** What exact costs take: a bill of many amounts, rated and added up with fractions and with floating point. */
import type { UsageAmount } from '../src/prices/amounts.ts'
import { moneyText } from '../src/prices/money.ts'
import { rate, totalOf } from '../src/prices/rating.ts'
import { defaultPriceSheet } from '../src/prices/sheets.ts'
import { divisorOf, usageTypeFacts } from '../src/prices/usage-types.ts'
import { type Bench, median, timed } from './report.ts'

const rounds = 40
const amountCount = 10_000
const usageTypes = ['BoxUsage:t3.micro', 'BoxUsage:m5.large', 'EBS:VolumeUsage.gp3', 'EBS:SnapshotUsage']
const months = ['2026-09', '2026-10', '2026-11']

export const benchRating: Bench = {
  question: `how long does a bill of ${amountCount} amounts take, exactly and in floating point?`,
  async run(say) {
    const amounts = Array.from({ length: amountCount }, (_, index) => amountOf(index))
    const times: Record<'exact' | 'floating', number[]> = { exact: [], floating: [] }
    let [exact, floating] = ['', 0]
    for (let round = 0; round < rounds; round++) {
      times.exact.push(await timed(async () => (exact = exactTotal(amounts))))
      times.floating.push(await timed(async () => (floating = floatingTotal(amounts))))
    }
    const [first, second] = [median(times.exact), median(times.floating)]
    say(`exact: ${first.toFixed(2)} ms, ${exact}`)
    say(`floating point: ${second.toFixed(2)} ms, ${floating}`)
    say(`ratio exact / floating point: ${(first / second).toFixed(1)}`)
  },
}

function amountOf(index: number): UsageAmount {
  const exact = BigInt(index * 7919 + 13) * 1000n
  const usageType = usageTypes[index % usageTypes.length]!
  const month = months[index % months.length]!
  return { usageType, region: 'us-east-1', month, exact, bySecond: exact, byHour: exact }
}

function exactTotal(amounts: readonly UsageAmount[]): string {
  const { currency, lines } = rate(amounts, defaultPriceSheet())
  return moneyText(totalOf(lines), currency)
}

function floatingTotal(amounts: readonly UsageAmount[]): number {
  const sheet = defaultPriceSheet()
  let total = 0
  for (const { usageType, region, month, exact } of amounts) {
    const divisor = Number(divisorOf(usageTypeFacts(usageType)!, month))
    total += (Number(exact) / divisor) * sheet.priceOf(usageType, region)!.price.valueOf()
  }
  return total
}
