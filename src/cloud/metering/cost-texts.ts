/**
 * Reports as plain values for whoever is told of them: money and quantities are decimals of ten places, as AWS gives them,
 * prices whole; times are UTC.
 */
import { utcText } from '../../lib/utc-times.ts'
import { decimalDigits, reportText, shortText } from '../../prices/money.ts'
import type { RatedLine, UnpricedUsage } from '../../prices/rating.ts'
import { usageTypeFacts } from '../../prices/usage-types.ts'
import type { CostGroup, CostReport } from './costs.ts'

export function reportTexts({ asOfS, groups, total }: CostReport) {
  return {
    asOf: utcText(asOfS),
    groups: groups.map(groupTexts),
    total: reportText(total),
    isEstimated: groups.some(({ isEstimated }) => isEstimated),
  }
}

function groupTexts({ period, keys, cost, lines, unpriced, isEstimated }: CostGroup) {
  const span = { from: utcText(period.fromS), to: utcText(period.toS) }
  const about = { ...span, keys, cost: reportText(cost), isEstimated }
  return { ...about, lines: lines.map(lineTexts), unpriced: unpriced.map(unpricedTexts) }
}

function lineTexts({ usageType, region, month, unit, rounding, quantity, price, cost }: RatedLine) {
  return {
    ...{ usageType, service: usageTypeFacts(usageType)!.service, region, month, unit, rounding },
    ...{ quantity: reportText(quantity), price: shortText(price, decimalDigits.after), cost: reportText(cost) },
  }
}

function unpricedTexts({ quantity, ...usage }: UnpricedUsage) {
  const service = usageTypeFacts(usage.usageType)?.service ?? null
  return { ...usage, service, quantity: quantity && reportText(quantity) }
}
