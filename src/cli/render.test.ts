import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { duration, facts, size, table, time } from './render.ts'

const plain = stripVTControlCharacters

describe('what commands show', () => {
  test('a table has its headings above aligned columns, without frames', () => {
    const shown = table(
      ['image', 'state'],
      [
        ['ami-1', 'available'],
        ['ami-22', null],
      ],
      'none',
    )
    expect(plain(shown).split('\n')).toEqual(['IMAGE   STATE', 'ami-1   available', 'ami-22  -'])
  })

  test('an empty table says so in words', () => {
    expect(table(['image'], [], 'No images in us-east-1.')).toBe('No images in us-east-1.')
  })

  test('facts stand below each other, and those that are not known are left out', () => {
    expect(
      plain(
        facts([
          ['url', 'http://x'],
          ['region', undefined],
          ['up', '3 s'],
        ]),
      ),
    ).toBe('url  http://x\nup   3 s')
  })

  test.each([
    [0, '0 bytes'],
    [1023, '1023 bytes'],
    [1536, '1.5 KiB'],
    [512 * 1024 ** 2, '512 MiB'],
    [3 * 1024 ** 5, '3072 TiB'],
  ])('%d bytes are %s', (bytes, expected) => {
    expect(size(bytes)).toBe(expected)
  })

  test.each([
    [0.4, '0 ms'],
    [999, '999 ms'],
    [3210, '3.2 s'],
    [59_960, '1 min 0 s'],
    [143_400, '2 min 23 s'],
    [3_599_900, '60 min 0 s'],
  ])('%d ms are %s', (ms, expected) => {
    expect(duration(ms)).toBe(expected)
  })

  test('times are UTC', () => {
    expect(time('2026-01-31T17:05:09.123Z')).toBe('2026-01-31 17:05:09')
    expect(time(undefined)).toBeUndefined()
  })
})
