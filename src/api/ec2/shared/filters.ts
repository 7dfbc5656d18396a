/** `Filters` of every Describe operation. Which names exist is known where they are answered, in the state. */
import type { Filter as Ec2Filter } from '@aws-sdk/client-ec2'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { clipped } from '../codec/form.ts'

export interface Filter {
  name: string
  /** At least one; alternatives. */
  values: string[]
}

/** Throws `InvalidParameterValue` for a filter without name or values or with one too long, `FilterLimitExceeded` for too many of either. */
export function readFilters(filters: readonly Ec2Filter[] | undefined): Filter[] {
  if (filters === undefined) return []
  if (filters.length > limits.filtersPerRequest) {
    throw new KilnError('FilterLimitExceeded', `A request can have at most ${limits.filtersPerRequest} filters.`)
  }
  return filters.map(({ Name: name, Values: values }) => {
    checkLength(name)
    if (!name) throw new KilnError('InvalidParameterValue', "The filter 'null' is invalid")
    if (!values?.length) throw new KilnError('InvalidParameterValue', `The filter '${name}' must have a value`)
    if (values.length > limits.valuesPerFilter) {
      throw new KilnError(
        'FilterLimitExceeded',
        `The filter '${name}' can have at most ${limits.valuesPerFilter} values.`,
      )
    }
    values.forEach(checkLength)
    return { name, values: [...values] }
  })
}

/** A pattern costs the database what it is long. */
function checkLength(text: string | undefined): void {
  if (text === undefined || text.length <= limits.filterTextLength) return
  throw new KilnError(
    'InvalidParameterValue',
    `The filter value '${clipped(text)}' is longer than ${limits.filterTextLength} characters.`,
  )
}
