/** Cost Explorer's filters. Source: Expression, DimensionValues and TagValues in its API reference. */
import type { CostFilter } from '../../cloud/metering/cost-query.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'
import { dimensionOf, invalid, ownValue } from './dimensions.ts'

const roots = ['And', 'Or', 'Not', 'Dimensions', 'Tags', 'CostCategories'] as const

/** The request's member `Filter`; undefined where it has none. */
export function filterOf(input: JsonInput): CostFilter | undefined {
  const filter = input.structure('Filter')
  return filter && expressionOf(filter, 1)
}

function expressionOf(input: JsonInput, depth: number): CostFilter {
  if (depth > limits.costFilterDepth)
    throw invalid(`Filter has more than ${limits.costFilterDepth} levels of expressions`)
  const given = roots.filter((root) => input.has(root))
  const [root] = given
  if (given.length > 1) {
    throw invalid(
      `Expression has more than one roots. Only one root operator is allowed for each expression: ${roots.join(', ')}`,
    )
  }
  switch (root) {
    case 'And':
      return { all: operandsOf(input, root, depth) }
    case 'Or':
      return { any: operandsOf(input, root, depth) }
    case 'Not':
      return { not: expressionOf(input.requiredStructure(root), depth + 1) }
    case 'Dimensions':
      return dimensionFilter(input.requiredStructure(root))
    case 'Tags':
      return tagFilter(input.requiredStructure(root))
    case 'CostCategories':
      throw invalid('Filter asks for CostCategories: there are none in Kiln')
    default:
      throw invalid(`Expression has no root. It must have one of: ${roots.join(', ')}`)
  }
}

function operandsOf(input: JsonInput, root: 'And' | 'Or', depth: number): CostFilter[] {
  const operands = input.structures(root)
  if (operands.length < 2) throw invalid(`The expression ${root} must have at least two operands`)
  return operands.map((operand) => expressionOf(operand, depth + 1))
}

function dimensionFilter(input: JsonInput): CostFilter {
  const key = input.requiredText('Key')
  const dimension = dimensionOf(key, 'Filter dimension')
  const values = input.texts('Values')
  if (values.length === 0) throw invalid(`Filter dimension ${key} has no Values`)
  matchesOf(input, ['EQUALS', 'CASE_SENSITIVE'])
  return { dimension: dimension.of, values: values.map((value) => ownValue(dimension, value)) }
}

/** Without values it is about what has no such tag; without a key too, about what has no tags at all. */
function tagFilter(input: JsonInput): CostFilter {
  const [key, values] = [input.text('Key'), input.texts('Values')]
  const matches = matchesOf(input, ['EQUALS', 'ABSENT', 'CASE_SENSITIVE'])
  if (matches.includes('ABSENT') && values.length > 0) {
    throw invalid('Filter Tags has Values, which the MatchOptions ABSENT does not take')
  }
  if (key === undefined && values.length > 0) throw invalid('Filter Tags has Values and no Key')
  const dimension = key === undefined ? 'tag-keys' : (`tag:${key}` as const)
  return { dimension, values, isAbsent: values.length === 0 }
}

function matchesOf(input: JsonInput, allowed: readonly string[]): string[] {
  const given = input.texts('MatchOptions')
  const other = given.find((option) => !allowed.includes(option))
  if (other === undefined) return given
  throw invalid(`MatchOptions '${clipped(other)}' is not valid here. Valid values: ${allowed.join(', ')}`)
}
