import { expect, test } from 'vitest'
import { matchesWildcards } from './wildcards.ts'

test.each([
  ['', '', true],
  ['', 'a', false],
  ['a', 'a', true],
  ['a', 'A', false],
  ['a', 'ab', false],
  ['*', '', true],
  ['*', 'a\nb', true],
  ['a*', 'abc', true],
  ['*c', 'abc', true],
  ['a*c', 'abcbc', true],
  ['a*b*c', 'axxbyyc', true],
  ['a*b*c', 'axxcyyb', false],
  ['?', '', false],
  ['?', 'a', true],
  ['a?c', 'abc', true],
  ['a?', 'abc', false],
  ['*?b', 'aab', true],
  ['a\\*', 'a*', true],
  ['a\\*', 'ab', false],
  ['a\\?', 'ab', false],
  ['a\\\\', 'a\\', true],
  ['a\\b', 'a\\b', true],
  ['eu-west-1[b]', 'eu-west-1b', false],
  ['a.c', 'abc', false],
  ['(a|b)', 'a', false],
])('%j on %j: %s', (pattern, text, matches) => expect(matchesWildcards(pattern, text)).toBe(matches))

test('a pattern that is made to take long does not', () => {
  // Of the processor, not of the clock: others may be at work beside it.
  const before = process.cpuUsage()
  expect(matchesWildcards(`${'*a'.repeat(2000)}b`, 'a'.repeat(2000))).toBe(false)
  expect(matchesWildcards('*'.repeat(100_000), 'ec2.eu-west-1.amazonaws.com')).toBe(true)
  expect(process.cpuUsage(before).user).toBeLessThan(2_000_000)
})
