import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decimalText,
  exactOf,
  fineMoneyText,
  isCurrency,
  isDecimal,
  moneyText,
  placesOf,
  ratio,
  reportText,
  shortText,
  sumOf,
} from './money.ts'

const fraction = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.bigInt({ min: 1n, max: 10n ** 20n }))
  .map(([n, d]) => ratio(n, d))

describe('sums', () => {
  test('do not depend on how the parts are grouped or ordered', () => {
    fc.assert(
      fc.property(fc.array(fraction, { maxLength: 30 }), fc.nat(), fc.nat(), (parts, a, b) => {
        const [first, second] = [a % (parts.length + 1), b % (parts.length + 1)].sort((x, y) => x - y)
        const groups = [parts.slice(0, first), parts.slice(first, second), parts.slice(second)].toReversed()
        expect(sumOf(groups.map(sumOf)).equals(sumOf(parts))).toBe(true)
      }),
    )
  })

  test('a tenth of a cent a million times is 1,000, which floating point misses', () => {
    const parts = Array.from({ length: 10_000 }, () => exactOf('0.1'))
    expect(decimalText(sumOf(parts), 20)).toBe('1000.00000000000000000000')
    expect(parts.reduce((sum) => sum + 0.1, 0)).not.toBe(1000)
  })
})

describe('texts of numbers', () => {
  test('say what was read', () => {
    const digits = fc.tuple(fc.bigInt({ min: -(10n ** 14n), max: 10n ** 14n }), fc.integer({ min: 0, max: 18 }))
    fc.assert(
      fc.property(digits, ([units, places]) => {
        const value = ratio(units, 10n ** BigInt(places))
        const text = decimalText(value, places)
        expect(exactOf(text).equals(value)).toBe(true)
        expect(exactOf(shortText(value, places)).equals(value)).toBe(true)
      }),
    )
  })

  test('are at most half of the last place away from the number', () => {
    fc.assert(
      fc.property(fraction, fc.integer({ min: 0, max: 12 }), (value, places) => {
        const [whole = '', part = ''] = decimalText(value, places).split('.')
        expect(part).toHaveLength(places)
        const shown = ratio(BigInt(whole + part), 10n ** BigInt(places))
        expect(
          shown
            .sub(value)
            .abs()
            .compare(ratio(1n, 2n * 10n ** BigInt(places))),
        ).toBeLessThanOrEqual(0)
      }),
    )
  })

  test.each([
    ['0.125', 2, '0.12'],
    ['0.135', 2, '0.14'],
    ['-0.125', 2, '-0.12'],
    ['-0.001', 2, '0.00'],
    ['0.5', 0, '0'],
    ['1.5', 0, '2'],
    ['9.995', 2, '10.00'],
    ['123', 3, '123.000'],
  ])('%s in %i places is %s: halves go to the even digit', (text, places, shown) => {
    expect(decimalText(exactOf(text), places)).toBe(shown)
  })

  test('reports have ten places, as those of AWS', () => {
    expect(reportText(ratio(1n, 3n))).toBe('0.3333333333')
    expect(reportText(exactOf('72'))).toBe('72.0000000000')
  })

  test.each(['1e3', '.5', '5.', '+1', '1/3', '0.(3)', 'NaN', '', ' 1', '1,5', '0x10', '1'.repeat(16), '1.2.3'])(
    '%j is no decimal number',
    (text) => {
      expect(isDecimal(text)).toBe(false)
      expect(() => exactOf(text)).toThrow('is not a decimal number')
    },
  )
})

describe('money', () => {
  test('has the places of its currency', () => {
    const value = exactOf('1234.5678')
    expect(moneyText(value, 'USD')).toBe('$1,234.57')
    expect(moneyText(value, 'JPY')).toBe('¥1,235')
    expect(moneyText(value, 'EUR')).toBe('€1,234.57')
    expect([placesOf('USD'), placesOf('JPY'), placesOf('BHD')]).toEqual([2, 0, 3])
  })

  test('has two places more where it would be next to nothing', () => {
    const shown = ['0', '0.0104', '-0.0104', '0.1', '0.000049', '0.00005', '12.3456']
    const wanted = ['$0.00', '$0.0104', '-$0.0104', '$0.10', '< $0.0001', '< $0.0001', '$12.35']
    expect(shown.map((text) => fineMoneyText(exactOf(text), 'USD'))).toEqual(wanted)
    expect(fineMoneyText(exactOf('1.234'), 'JPY')).toBe('¥1.23')
  })

  test('keeps digits that floating point would lose', () => {
    expect(moneyText(exactOf('900719925474099.37'), 'USD')).toBe('$900,719,925,474,099.37')
  })

  test('is in a currency that there is', () => {
    expect(['USD', 'EUR', 'CHF', 'JPY'].every(isCurrency)).toBe(true)
    expect(['usd', 'ABC', 'DOLLAR', ''].some(isCurrency)).toBe(false)
  })
})
