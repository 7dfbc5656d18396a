import { expect, test } from 'vitest'
import { defaultPriceSheet } from '../../prices/sheets.ts'
import { instanceTypes } from './instance-types.ts'

test('the default price sheet has a price of every instance type in us-east-1', () => {
  const sheet = defaultPriceSheet()
  const without = [...instanceTypes.keys()].filter((name) => !sheet.priceOf(`BoxUsage:${name}`, 'us-east-1'))
  expect(without).toEqual([])
})
