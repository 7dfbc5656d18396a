import { expect, test } from 'vitest'
import { comparison } from './comparison.ts'

test('the comparison has all rows of the tutorial, for both kinds, with what was measured and what costs come to', () => {
  const text = comparison({
    ebs: { bootMs: 3210, creationMs: 800, outcome: 'its root is still available' },
    store: { bootMs: 65_000, creationMs: 40_000, outcome: 'its root is gone' },
    ...{ stopStartMs: 9000, stopRefusal: 'UnsupportedOperation' },
    ...{ type: { type: 'm1.small', gb: 160 }, largestType: { type: 'i2.8xlarge', gb: 6400 } },
  })
  const rows = text.split('\n').filter((line) => /^[A-Z]\w+ ?[\w ]* {2,}EBS /.test(line))
  expect(rows.map((row) => row.split(/ {2,}/)[0])).toEqual([
    'Lifecycle',
    'Data persistence',
    'Boot time',
    'Size limit',
    'AMI creation',
    'Expensive',
  ])
  expect(text.match(/^ +instance store {2}/gm)).toHaveLength(6)
  for (const figure of ['3.2 s', '1 min 5 s', '800 ms', '40.0 s', '9.0 s', 'UnsupportedOperation']) {
    expect(text).toContain(figure)
  }
  expect(text).toContain('64 TiB (io2)')
  expect(text).toContain('10 GiB of root; beside it 160 GB on m1.small, 6400 GB on i2.8xlarge')
  expect(text).toContain('= $12.00 + $5.00 = $17.00 a month')
  expect(text).toContain('= $72.00 a month')
})
