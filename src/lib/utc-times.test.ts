import { describe, expect, test } from 'vitest'
import { parseUtc, startOfMonth, utcText } from './utc-times.ts'

describe('times in UTC', () => {
  test.each([
    ['2026-11', '2026-11-01T00:00:00Z'],
    ['2026-11-09', '2026-11-09T00:00:00Z'],
    ['2028-02-29', '2028-02-29T00:00:00Z'],
    ['2026-11-09T06:30', '2026-11-09T06:30:00Z'],
    ['2026-11-09T06:30:05Z', '2026-11-09T06:30:05Z'],
  ])('%s is %s', (text, wanted) => {
    expect(utcText(parseUtc(text)!)).toBe(wanted)
  })

  test.each(['', '2026', '2026-13', '2026-02-29', '2026-11-31', '2026-11-09T24:00', '2026-11-09T06:30+01:00', 'today'])(
    "'%s' is none",
    (text) => {
      expect(parseUtc(text)).toBeUndefined()
    },
  )

  test('months begin at midnight, over the end of a year too', () => {
    const time = parseUtc('2026-12-31T23:59:59Z')!
    expect(utcText(startOfMonth(time))).toBe('2026-12-01T00:00:00Z')
    expect(utcText(startOfMonth(time, 1))).toBe('2027-01-01T00:00:00Z')
  })
})
