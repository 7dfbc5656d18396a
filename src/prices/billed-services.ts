/**
 * In whose name usage is billed, as Cost Explorer writes it: EC2 there is two services, instances and all else.
 *
 * Source: "Understanding your costs: EC2-Other" and the values that GetDimensionValues gives for SERVICE.
 */
import { usageTypeFacts } from './usage-types.ts'

/** `Amazon Elastic Compute Cloud - Compute`; undefined for a usage type of no known meaning. */
export function billedService(usageType: string): string | undefined {
  const facts = usageTypeFacts(usageType)
  if (facts?.service === 'AmazonS3') return 'Amazon Simple Storage Service'
  if (facts?.service === 'AmazonVPC') return 'Amazon Virtual Private Cloud'
  if (facts?.service !== 'AmazonEC2') return undefined
  return facts.productFamily === 'Compute Instance' ? 'Amazon Elastic Compute Cloud - Compute' : 'EC2 - Other'
}
