import { describe, expect, test } from 'vitest'
import { decimalText, exactOf, shortText } from './money.ts'
import { compareWorkload, type Workload } from './workload.ts'

/** The tutorial's: $0.10 an hour, 4 hours of work a day, 30 days, 100 GB at $5 a month. */
const tutorial: Workload = {
  ...{ hourlyRate: exactOf('0.10'), hoursPerDay: exactOf('4'), days: exactOf('30'), volumeGb: exactOf('100') },
  volumePrice: { perMonth: exactOf('5') },
}

function compared(change: Partial<Workload>) {
  const { instanceStore, ebs, cheaper, saved, breakEvenHoursPerDay } = compareWorkload({ ...tutorial, ...change })
  const [first, second, difference] = [instanceStore.total, ebs.total, saved].map((money) => decimalText(money, 2))
  return {
    totals: [first, second],
    cheaper,
    saved: difference,
    hours: breakEvenHoursPerDay && shortText(breakEvenHoursPerDay, 4),
  }
}

describe('the two kinds of image', () => {
  test("the tutorial's example: 72.00 against 12.00 + 5.00, 55.00 saved", () => {
    const { instanceStore, ebs, saved } = compareWorkload(tutorial)
    const lines = (costs: typeof ebs) => costs.lines.map(({ item, cost }) => `${item} ${decimalText(cost, 2)}`)
    expect(lines(instanceStore)).toEqual(['instance 72.00'])
    expect(lines(ebs)).toEqual(['instance 12.00', 'volume 5.00'])
    expect(decimalText(ebs.total, 2)).toBe('17.00')
    expect(decimalText(saved, 2)).toBe('55.00')
  })

  test('a volume may be priced by the GB', () => {
    expect(compared({ volumePrice: { perGbMonth: exactOf('0.05') } })).toEqual(compared({}))
  })

  test('half a month has half of the volume', () => {
    expect(compared({ days: exactOf('15') })).toMatchObject({ totals: ['36.00', '8.50'], saved: '27.50' })
  })

  test('who works day and night is better off in the instance store, by the volume', () => {
    expect(compared({ hoursPerDay: exactOf('24') })).toEqual({
      ...{ totals: ['72.00', '77.00'], cheaper: 'instanceStore', saved: '5.00', hours: '22.3333' },
    })
  })

  test('at the break-even both cost the same', () => {
    const { breakEvenHoursPerDay } = compareWorkload(tutorial)
    expect(compared({ hoursPerDay: breakEvenHoursPerDay! })).toMatchObject({ cheaper: null, saved: '0.00' })
  })

  test('what the images take counts as well', () => {
    const stored = (gb: string) => ({ gb: exactOf(gb), perGbMonth: exactOf('0.05') })
    const result = compared({ bundle: stored('20'), snapshot: stored('10') })
    expect(result).toEqual({ totals: ['73.00', '17.50'], cheaper: 'ebs', saved: '55.50', hours: '22.5' })
  })

  test('when running is free, hours decide nothing', () => {
    expect(compared({ hourlyRate: exactOf('0') })).toMatchObject({ cheaper: 'instanceStore', hours: null })
  })
})
