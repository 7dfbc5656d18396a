import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { shortText } from './money.ts'
import { readPriceSheet } from './sheets.ts'

const page = readFileSync(new URL('../../docs/formats/price-sheet.md', import.meta.url), 'utf8')

/** What the example of the page says. */
function example(language: string) {
  const [, text] = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'm').exec(page)!
  const { head, prices } = readPriceSheet(Buffer.from(text!))
  const rows = [...prices].flatMap(([region, ofRegion]) =>
    [...ofRegion].map(([usageType, { unit, price, rounding, asOf }]) =>
      [region, usageType, unit, shortText(price, 18), rounding, asOf].join(' '),
    ),
  )
  return { head, rows }
}

test('the examples of docs/formats/price-sheet.md are one sheet, in JSON and in CSV', () => {
  const { head, rows } = example('json')
  expect(head).toEqual({ currency: 'EUR', asOf: '2026-11-01', source: 'What the lab charges its groups' })
  expect(rows).toEqual([
    'eu-west-1 BoxUsage:t3.micro Hrs 0.011 hour ',
    'eu-west-1 EBS:VolumeUsage.gp3 GB-Mo 0.06 second 2026-06-01',
    '* EBS:SnapshotUsage GB-Mo 0.025 none ',
  ])
  expect(example('csv')).toEqual({ head, rows })
})
