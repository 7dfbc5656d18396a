/**
 * The operations of the price list that are served, on the price sheet of this Kiln: what it does not price is not there.
 * Source: the AWS Price List API reference.
 */
import type { Product } from '../../cloud/metering/price-list.ts'
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'
import { pageOf } from '../json-pages.ts'
import { attributesOf, fieldsOf, priceListItem } from './products.ts'

export interface PricingRequest {
  input: JsonInput
  /** What makes one page belong to another. */
  question: object
  /** By SKU. */
  products: readonly Product[]
}

const formatVersion = 'aws_v1'
const mostServices = 100
const mostProducts = 100
const mostValues = 10_000
const mostFilters = 50

export const pricingHandlers: Readonly<Record<string, (request: PricingRequest) => object>> = {
  DescribeServices({ input, question, products }) {
    checkFormat(input)
    const code = input.text('ServiceCode')
    const own = code === undefined ? products : productsOfService(products, code)
    const services = [...Map.groupBy(own, ({ service }) => service)]
      .map(([service, ofService]) => ({ ServiceCode: service, AttributeNames: attributeNames(ofService) }))
      .sort((a, b) => (a.ServiceCode < b.ServiceCode ? -1 : 1))
    const page = pageOf(services, pageRequest(input, question, mostServices), ({ ServiceCode }) => [ServiceCode])
    return { Services: page.items, FormatVersion: formatVersion, NextToken: page.nextToken }
  },

  GetAttributeValues({ input, question, products }) {
    const own = productsOfService(products, input.requiredText('ServiceCode'))
    const name = input.requiredText('AttributeName')
    if (!attributeNames(own).includes(name)) throw notFound(`attribute '${clipped(name)}'`)
    const values = [...new Set(own.flatMap((product) => fieldValue(product, name) ?? []))].sort()
    const page = pageOf(values, pageRequest(input, question, mostValues), (value) => [value])
    return { AttributeValues: page.items.map((Value) => ({ Value })), NextToken: page.nextToken }
  },

  GetProducts({ input, question, products }) {
    checkFormat(input)
    const own = productsOfService(products, input.requiredText('ServiceCode'))
    const filters = filtersOf(input)
    const found = own.filter((product) => filters.every((matches) => matches(product)))
    const page = pageOf(found, pageRequest(input, question, mostProducts), ({ sku }) => [sku])
    return { FormatVersion: formatVersion, PriceList: page.items.map(priceListItem), NextToken: page.nextToken }
  },
}

function productsOfService(products: readonly Product[], code: string): readonly Product[] {
  const own = products.filter(({ service }) => service === code)
  if (own.length === 0) throw notFound(`service '${clipped(code)}'`)
  return own
}

function attributeNames(products: readonly Product[]): string[] {
  const names = new Set(products.flatMap((product) => Object.keys(attributesOf(product))))
  if (products.some(({ productFamily }) => productFamily !== null)) names.add('productFamily')
  return [...names.add('termType')].sort()
}

function fieldValue(product: Product, field: string): string | undefined {
  const fields = fieldsOf(product)
  return Object.hasOwn(fields, field) ? fields[field] : undefined
}

const filterTypes = ['TERM_MATCH', 'EQUALS', 'CONTAINS', 'ANY_OF', 'NONE_OF'] as const

/** A field that no product has matches nothing. */
function filtersOf(input: JsonInput): ((product: Product) => boolean)[] {
  const filters = input.structures('Filters')
  if (filters.length > mostFilters)
    throw invalid(`Filters has ${filters.length} filters; at most ${mostFilters} are taken`)
  return filters.map((filter) => {
    const type = filter.requiredOneOf('Type', filterTypes)
    const field = filter.requiredText('Field', { min: 1 })
    const matches = matcherOf(type, filter.requiredText('Value', { min: 1 }))
    return (product) => {
      const value = fieldValue(product, field)
      return value !== undefined && matches(value)
    }
  })
}

/** ANY_OF and NONE_OF take values with commas between them. */
function matcherOf(type: (typeof filterTypes)[number], asked: string): (value: string) => boolean {
  if (type === 'CONTAINS') return (value) => value.includes(asked)
  if (type === 'TERM_MATCH' || type === 'EQUALS') return (value) => value === asked
  const several = asked.split(',').map((part) => part.trim())
  return (value) => several.includes(value) === (type === 'ANY_OF')
}

function pageRequest(input: JsonInput, question: object, most: number) {
  const size = input.integer('MaxResults', { min: 1, max: most }) ?? most
  return { question, size, token: input.text('NextToken', { max: 8192 }) }
}

function checkFormat(input: JsonInput): void {
  const version = input.text('FormatVersion', { min: 1, max: 32 })
  if (version === undefined || version === formatVersion) return
  throw invalid(`FormatVersion '${version}' is not valid. Valid values: ${formatVersion}`)
}

const invalid = (message: string) => new KilnError('InvalidParameterValue', message)

const notFound = (what: string) => new KilnError('NotFoundException', `The price list has no ${what}`)
