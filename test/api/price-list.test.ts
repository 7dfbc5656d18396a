/** The price list through the official client: it holds what the price sheet says, and nothing else. */
import {
  DescribeServicesCommand,
  type Filter,
  GetAttributeValuesCommand,
  GetProductsCommand,
  paginateGetProducts,
} from '@aws-sdk/client-pricing'
import { describe, expect, test } from 'vitest'
import { awsUsageType } from '../../src/prices/billing-codes.ts'
import { reportText } from '../../src/prices/money.ts'
import { readPriceSheet } from '../../src/prices/sheets.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const prices = readPriceSheet(
  Buffer.from(
    JSON.stringify({
      ...{ format: 'kiln-price-sheet', version: 1, currency: 'EUR', asOf: '2026-10-01', source: 'our own' },
      prices: {
        'eu-west-1': {
          'BoxUsage:t3.micro': { unit: 'Hrs', price: '0.01', rounding: 'second' },
          'BoxUsage:x9.huge': { unit: 'Hrs', price: '9', rounding: 'second', asOf: '2026-10-31' },
          'EBS:VolumeUsage.io1': { unit: 'GB-Mo', price: '0.125', rounding: 'second' },
        },
        'us-east-1': { 'TimedStorage-ByteHrs': { unit: 'GB-Mo', price: '0', rounding: 'none' } },
        '*': { 'PublicIPv4:InUseAddress': { unit: 'Hrs', price: '0.005', rounding: 'second' } },
      },
    }),
  ),
)

interface Item {
  product: { productFamily?: string; sku: string; attributes: Record<string, string> }
  serviceCode: string
  terms: { OnDemand: Record<string, { priceDimensions: Record<string, { unit: string; pricePerUnit: object }> }> }
}

const own = useServedCloud({ prices })
const client = (served = own) => served().pricing('123456789012')

async function products(ServiceCode: string, filters: Partial<Filter>[] = [], of = client()): Promise<Item[]> {
  const Filters = filters.map((filter) => ({ Type: 'TERM_MATCH', ...filter }) as Filter)
  const items: Item[] = []
  for await (const page of paginateGetProducts({ client: of, pageSize: 7 }, { ServiceCode, Filters })) {
    items.push(...page.PriceList!.map((item: unknown) => JSON.parse(String(item)) as Item))
  }
  return items
}

const usageTypes = (items: readonly Item[]) => items.map(({ product }) => product.attributes.usagetype).sort()

test('a product is its facts and its price', async () => {
  const [item, ...others] = await products('AmazonEC2', [{ Field: 'instanceType', Value: 't3.micro' }])
  expect(others).toEqual([])
  const { sku } = item!.product
  expect(sku).toMatch(/^[A-Z0-9]{16}$/)
  const rateCode = `${sku}.JRTCKXETXF.6YS6EN2CT7`
  expect(item).toEqual({
    product: {
      sku,
      productFamily: 'Compute Instance',
      attributes: {
        ...{ servicecode: 'AmazonEC2', servicename: 'Amazon Elastic Compute Cloud', locationType: 'AWS Region' },
        ...{ location: 'Europe (Ireland)', regionCode: 'eu-west-1', usagetype: 'EU-BoxUsage:t3.micro' },
        ...{ instanceType: 't3.micro', vcpu: '2', memory: '1 GiB', operation: 'RunInstances', tenancy: 'Shared' },
        ...{ operatingSystem: 'Linux', preInstalledSw: 'NA', capacitystatus: 'Used' },
        licenseModel: 'No License required',
      },
    },
    serviceCode: 'AmazonEC2',
    terms: {
      OnDemand: {
        [`${sku}.JRTCKXETXF`]: {
          ...{ sku, offerTermCode: 'JRTCKXETXF', effectiveDate: '2026-10-01T00:00:00Z', termAttributes: {} },
          priceDimensions: {
            [rateCode]: {
              ...{ rateCode, unit: 'Hrs', beginRange: '0', endRange: 'Inf', appliesTo: [] },
              description: '0.0100000000 EUR per Hrs: instance running',
              pricePerUnit: { EUR: '0.0100000000' },
            },
          },
        },
      },
    },
    version: '20261001000000',
    publicationDate: '2026-10-01T00:00:00Z',
  })
})

test('what Kiln does not know of a product is not there', async () => {
  const [huge] = await products('AmazonEC2', [{ Field: 'instanceType', Value: 'x9.huge' }])
  expect(Object.keys(huge!.product.attributes)).not.toContain('vcpu')
  const [address] = await products('AmazonVPC', [{ Field: 'regionCode', Value: 'eu-west-1' }])
  expect(Object.keys(address!.product)).toEqual(['attributes', 'sku'])
})

test('a price for any region is a product of each', async () => {
  const items = await products('AmazonVPC')
  const regions = items.map(({ product }) => product.attributes.regionCode)
  expect(regions).toEqual(expect.arrayContaining(['eu-west-1', 'us-east-1', 'sa-east-1']))
  expect(new Set(regions).size).toBe(regions.length)
  expect(new Set(items.map(({ product }) => product.sku)).size).toBe(items.length)
})

describe('filters', () => {
  test.each([
    ['a term', [{ Field: 'usagetype', Value: 'EU-EBS:VolumeUsage.piops' }], ['EU-EBS:VolumeUsage.piops']],
    ['equality', [{ Type: 'EQUALS', Field: 'volumeApiName', Value: 'io1' }], ['EU-EBS:VolumeUsage.piops']],
    [
      'a part',
      [{ Type: 'CONTAINS', Field: 'usagetype', Value: 'BoxUsage' }],
      ['EU-BoxUsage:t3.micro', 'EU-BoxUsage:x9.huge'],
    ],
    ['several', [{ Type: 'ANY_OF', Field: 'instanceType', Value: 't3.micro, t3.nano' }], ['EU-BoxUsage:t3.micro']],
    ['none of them', [{ Type: 'NONE_OF', Field: 'instanceType', Value: 't3.micro,t3.nano' }], ['EU-BoxUsage:x9.huge']],
    [
      'two',
      [
        { Field: 'productFamily', Value: 'Storage' },
        { Field: 'location', Value: 'Europe (Paris)' },
      ],
      [],
    ],
    ['a field that is none', [{ Field: 'constructor', Value: 'x' }], []],
    ['the service', [{ Field: 'ServiceCode', Value: 'AmazonS3' }], []],
  ] as [string, Partial<Filter>[], string[]][])('take %s', async (_, filters, expected) => {
    expect(usageTypes(await products('AmazonEC2', filters))).toEqual(expected)
  })
})

test('services and attributes are those of the products', async () => {
  const { Services: services } = await client().send(new DescribeServicesCommand({}))
  expect(services!.map(({ ServiceCode }) => ServiceCode)).toEqual(['AmazonEC2', 'AmazonS3', 'AmazonVPC'])
  const { Services: one } = await client().send(new DescribeServicesCommand({ ServiceCode: 'AmazonEC2' }))
  expect(one![0]!.AttributeNames).toEqual(expect.arrayContaining(['instanceType', 'volumeType', 'productFamily']))
  const valuesOf = async (AttributeName: string, MaxResults = 10) => {
    const request = { ServiceCode: 'AmazonEC2', AttributeName, MaxResults }
    const { AttributeValues: values } = await client().send(new GetAttributeValuesCommand(request))
    return values!.map(({ Value }) => Value)
  }
  expect(await valuesOf('instanceType')).toEqual(['t3.micro', 'x9.huge'])
  expect(await valuesOf('instanceType', 1)).toEqual(['t3.micro'])
  expect(await valuesOf('volumeType')).toEqual(['Provisioned IOPS'])
})

describe('with the sheet that comes with Kiln', () => {
  const served = useServedCloud()

  test('every price is there once', async () => {
    const { sheet } = served().cloud.costs
    for (const region of ['us-east-1', 'eu-central-1']) {
      const filter = [{ Field: 'regionCode', Value: region }]
      const items = (
        await Promise.all(
          ['AmazonEC2', 'AmazonS3', 'AmazonVPC'].map((code) =>
            products(code, filter, served().pricing('123456789012')),
          ),
        )
      ).flat()
      const shown = items.map(({ product, terms }) => {
        const [term] = Object.values(terms.OnDemand)
        const [rate] = Object.values(term!.priceDimensions)
        return `${product.attributes.usagetype} ${rate!.unit} ${Object.values(rate!.pricePerUnit)}`
      })
      const usage = new Set([...sheet.prices.get(region)!.keys(), ...sheet.prices.get('*')!.keys()])
      const expected = [...usage].map((usageType) => {
        const { unit, price } = sheet.priceOf(usageType, region)!
        return `${awsUsageType(usageType, region)} ${unit} ${reportText(price)}`
      })
      expect(shown.sort()).toEqual(expected.sort())
    }
  })
})

describe('bad requests are refused in the words of the price list', () => {
  const get = (change: object) => () => client().send(new GetProductsCommand({ ServiceCode: 'AmazonEC2', ...change }))
  const filter = (change: object) =>
    get({ Filters: [{ Type: 'TERM_MATCH', Field: 'location', Value: 'x', ...change }] })

  test.each([
    ['no service', get({ ServiceCode: undefined }), 'InvalidParameterException', "null at 'serviceCode'"],
    ['an unknown service', get({ ServiceCode: 'AmazonTea' }), 'NotFoundException', 'AmazonTea'],
    ['an unknown format', get({ FormatVersion: 'aws_v9' }), 'InvalidParameterException', 'aws_v9'],
    ['too many results', get({ MaxResults: 101 }), 'InvalidParameterException', 'maxResults'],
    ['a token that is none', get({ NextToken: 'x' }), 'InvalidNextTokenException', 'token'],
    ['another way to match', filter({ Type: 'LIKE' }), 'InvalidParameterException', "'filters.1.member.type'"],
    ['an empty field', filter({ Field: '' }), 'InvalidParameterException', "'filters.1.member.field'"],
    ['a value that is a number', filter({ Value: 7 }), 'SerializationException', "'filters.1.member.value'"],
    [
      'too many filters',
      get({ Filters: Array.from({ length: 51 }, () => ({ Type: 'TERM_MATCH', Field: 'a', Value: 'b' })) }),
      ...['InvalidParameterException', '51 filters'],
    ],
    [
      'an unknown attribute',
      () => client().send(new GetAttributeValuesCommand({ ServiceCode: 'AmazonEC2', AttributeName: 'taste' })),
      ...['NotFoundException', 'taste'],
    ],
  ] as [string, () => Promise<unknown>, string, string][])('%s', async (_, request, code, message) => {
    const error = await request().then(
      () => ({ name: 'accepted', message: '' }),
      (thrown: Error) => thrown,
    )
    expect({ code: error.name, message: error.message }).toEqual({ code, message: expect.stringContaining(message) })
  })

  test('a token of another question', async () => {
    const { NextToken } = await client().send(new GetProductsCommand({ ServiceCode: 'AmazonEC2', MaxResults: 1 }))
    const next = { ServiceCode: 'AmazonEC2', MaxResults: 2, NextToken: NextToken! }
    expect((await client().send(new GetProductsCommand(next))).PriceList).toHaveLength(2)
    const other = client().send(new GetProductsCommand({ ...next, ServiceCode: 'AmazonVPC' }))
    await expect(other).rejects.toMatchObject({ name: 'InvalidNextTokenException' })
  })
})
