import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { UsageAmount } from './amounts.ts'
import { decimalText, exactOf, reportText } from './money.ts'
import { rate, totalOf } from './rating.ts'
import { PriceSheet } from './sheet.ts'
import { readPriceSheet } from './sheets.ts'

const day = 86_400n
const gib = 2n ** 30n

const sheet = readPriceSheet(
  Buffer.from(`format,kiln-price-sheet
version,1
currency,USD
asOf,2026-11-01
source,made for a test
region,usageType,unit,price,rounding
us-east-1,BoxUsage:t3.micro,Hrs,0.10,second
us-west-2,BoxUsage:t3.micro,Hrs,0.20,hour
*,BoxUsage:t3.micro,Hrs,0.30,none
us-east-1,EBS:VolumeUsage.gp3,GB-Mo,0.05,second
us-east-1,EBS:SnapshotUsage,GB-Mo,0.05,none
us-east-1,DataTransfer-Regional-Out,GB,0.02,none
us-east-1,InstanceTime.stopped:m5.large,Hrs,0.01,none
`),
)

function amount(usageType: string, exact: bigint, more: Partial<UsageAmount> = {}): UsageAmount {
  return { usageType, region: 'us-east-1', month: '2026-11', exact, bySecond: exact, byHour: exact, ...more }
}

describe('rating', () => {
  test('tells what was billed, in which unit, and what it costs', () => {
    const { currency, lines, unpriced } = rate([amount('BoxUsage:t3.micro', 30n * 4n * 3600n)], sheet)
    expect(unpriced).toEqual([])
    expect(currency).toBe('USD')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      ...{ usageType: 'BoxUsage:t3.micro', region: 'us-east-1', month: '2026-11', unit: 'Hrs', rounding: 'second' },
    })
    expect([lines[0]!.quantity, lines[0]!.price, lines[0]!.cost].map(reportText)).toEqual([
      ...['120.0000000000', '0.1000000000', '12.0000000000'],
    ])
  })

  test.each([
    ['2026-11', 30n * day, '5.0000000000'],
    ['2026-12', 31n * day, '5.0000000000'],
    ['2026-12', 30n * day, '4.8387096774'],
    ['2026-02', 14n * day, '2.5000000000'],
  ])('100 GB in %s for %s s cost %s: a month is the calendar month', (month, seconds, cost) => {
    const { lines } = rate([amount('EBS:VolumeUsage.gp3', 100n * seconds, { month })], sheet)
    expect(reportText(lines[0]!.cost)).toBe(cost)
  })

  test('bytes are counted in GB of 2³⁰', () => {
    const { lines } = rate(
      [amount('EBS:SnapshotUsage', 10n * gib * 30n * day), amount('DataTransfer-Regional-Out', 3n * gib)],
      sheet,
    )
    expect(lines.map(({ cost }) => decimalText(cost, 2))).toEqual(['0.50', '0.06'])
  })

  test("runs are rounded as the region's price says, and any region has the price of *", () => {
    const run = { exact: 10n, bySecond: 60n, byHour: 3600n }
    const { lines } = rate(
      ['us-east-1', 'us-west-2', 'eu-west-1'].map((region) => amount('BoxUsage:t3.micro', 10n, { region, ...run })),
      sheet,
    )
    expect(lines.map(({ quantity }) => quantity.toFraction())).toEqual(['1/60', '1', '1/360'])
    expect(lines.map(({ cost }) => cost.toFraction())).toEqual(['1/600', '1/5', '1/1200'])
  })

  test('usage without a price is told, not priced at nothing', () => {
    const region = 'eu-west-3'
    const { lines, unpriced } = rate(
      [amount('BoxUsage:m5.large', 7200n, { region }), amount('Unheard-Of', 1n), amount('EBS:VolumeUsage.sc1', 0n)],
      sheet,
    )
    expect(lines).toEqual([])
    expect(unpriced.map(({ message }) => message)).toEqual([
      'no price for BoxUsage:m5.large in eu-west-3',
      'no price for Unheard-Of in us-east-1',
      'no price for EBS:VolumeUsage.sc1 in us-east-1',
    ])
    expect(unpriced[0]).toMatchObject({ region, unit: 'Hrs', quantity: exactOf('2') })
    expect(unpriced[1]).toMatchObject({ unit: null, quantity: null })
  })

  test('an instance that is stopped costs nothing, unless the sheet says so', () => {
    const { lines, unpriced } = rate(
      [amount('InstanceTime.stopped:t3.micro', 3600n), amount('InstanceTime.stopped:m5.large', 3600n)],
      sheet,
    )
    expect(unpriced).toEqual([])
    expect(lines.map(({ usageType, cost }) => [usageType, reportText(cost)])).toEqual([
      ['InstanceTime.stopped:m5.large', '0.0100000000'],
    ])
  })

  test('is linear: twice the use costs twice, and the total is that of the parts', () => {
    const usageTypes = ['BoxUsage:t3.micro', 'EBS:VolumeUsage.gp3', 'EBS:SnapshotUsage', 'DataTransfer-Regional-Out']
    const amounts = fc.array(
      fc.record({
        usageType: fc.constantFrom(...usageTypes),
        month: fc.constantFrom('2026-02', '2026-11', '2026-12'),
        exact: fc.bigInt({ min: 0n, max: 2n ** 70n }),
      }),
      { maxLength: 40 },
    )
    fc.assert(
      fc.property(amounts, fc.bigInt({ min: 0n, max: 10n ** 9n }), fc.nat(), (all, times, cut) => {
        const used = (factor: bigint) =>
          all.map((one) => amount(one.usageType, one.exact * factor, { month: one.month }))
        const once = rate(used(1n), sheet).lines
        expect(totalOf(rate(used(times), sheet).lines).equals(totalOf(once).mul(times))).toBe(true)
        const at = cut % (once.length + 1)
        expect(
          totalOf(once.slice(0, at))
            .add(totalOf(once.slice(at)))
            .equals(totalOf(once)),
        ).toBe(true)
        expect(once.reduce((sum, { cost }) => sum.add(cost), exactOf('0')).equals(totalOf(once))).toBe(true)
      }),
    )
  })

  test('an empty sheet prices nothing', () => {
    const empty = new PriceSheet({ currency: 'EUR', asOf: '2026-11-01', source: 'none' }, new Map())
    expect(rate([amount('EBS:SnapshotUsage', 1n)], empty)).toMatchObject({ currency: 'EUR', lines: [] })
  })
})
