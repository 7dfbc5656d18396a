/** Cost Explorer's dimensions and groupings in the cloud's terms. Source: GroupDefinition and Expression in its API reference. */
import type { CostDimension } from '../../cloud/metering/cost-query.ts'
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'

interface Dimension {
  of: CostDimension
  /** How AWS writes that it has none. */
  absent: string
}

const dimensions: Readonly<Record<string, Dimension>> = {
  INSTANCE_TYPE: { of: 'instance-type', absent: 'NoInstanceType' },
  LINKED_ACCOUNT: { of: 'account', absent: '' },
  RECORD_TYPE: { of: 'record-type', absent: '' },
  REGION: { of: 'region', absent: 'NoRegion' },
  RESOURCE_ID: { of: 'resource', absent: 'NoResourceId' },
  SERVICE: { of: 'billed-service', absent: 'NoService' },
  USAGE_TYPE: { of: 'billed-usage-type', absent: 'NoUsageType' },
}

/** `name` says where it was read. */
export function dimensionOf(key: string, name: string): Dimension {
  const dimension = Object.hasOwn(dimensions, key) ? dimensions[key] : undefined
  if (dimension) return dimension
  const known = Object.keys(dimensions).join(', ')
  throw invalid(`${name} '${clipped(key)}' is not supported by Kiln, whose costs have the dimensions ${known}`)
}

/** From AWS's value to the cloud's, in which nothing is the empty text. */
export const ownValue = ({ absent }: Dimension, value: string): string => (value === absent ? '' : value)

export const awsValue = ({ absent }: Dimension, value: string): string => (value === '' ? absent : value)

export interface Grouping {
  definition: { Type: 'DIMENSION' | 'TAG'; Key: string }
  dimension: CostDimension
  /** Of a group, from the cloud's value. */
  keyOf(value: string): string
}

export function groupingsOf(input: JsonInput): Grouping[] {
  const groupings = input.structures('GroupBy').map(groupingOf)
  if (groupings.length > 2) throw invalid('Only two values for GroupBy are allowed')
  return groupings
}

function groupingOf(input: JsonInput): Grouping {
  const type = input.requiredOneOf('Type', ['DIMENSION', 'TAG', 'COST_CATEGORY'])
  const key = input.requiredText('Key', { min: 1 })
  if (type === 'COST_CATEGORY')
    throw invalid(`GroupBy names the cost category '${clipped(key)}': there are none in Kiln`)
  const definition = { Type: type, Key: key }
  if (type === 'TAG') return { definition, dimension: `tag:${key}`, keyOf: (value) => `${key}$${value}` }
  const dimension = dimensionOf(key, 'GroupBy key')
  return { definition, dimension: dimension.of, keyOf: (value) => awsValue(dimension, value) }
}

/** Cost Explorer's ValidationException. */
export const invalid = (message: string): KilnError => new KilnError('InvalidParameterValue', message)
