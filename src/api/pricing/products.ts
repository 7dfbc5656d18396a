/**
 * Products in the shape of AWS's price list. Only what the sheet and Kiln's own tables say is in them: no attribute is there to
 * fill a place. Source: "Using the AWS Price List Query API".
 */
import type { Product } from '../../cloud/metering/price-list.ts'

/** AWS's codes of on-demand terms, and of a rate by the hour or the unit. */
const [onDemandTerm, unitRate] = ['JRTCKXETXF', '6YS6EN2CT7']

const serviceNames: Readonly<Record<string, string>> = {
  AmazonEC2: 'Amazon Elastic Compute Cloud',
  AmazonS3: 'Amazon Simple Storage Service',
  AmazonVPC: 'Amazon Virtual Private Cloud',
}

const volumeTypes: Readonly<Record<string, string>> = {
  ...{ gp2: 'General Purpose', gp3: 'General Purpose', io1: 'Provisioned IOPS', io2: 'Provisioned IOPS' },
  ...{ st1: 'Throughput Optimized HDD', sc1: 'Cold HDD', standard: 'Magnetic' },
}

/** By AWS's names, in which filters ask for them. */
export function attributesOf(product: Product): Record<string, string> {
  const { service, location, region, usageType } = product
  return {
    ...{ servicecode: service, servicename: serviceNames[service] ?? service },
    ...{ location, locationType: 'AWS Region', regionCode: region, usagetype: usageType },
    ...instanceAttributes(product),
    ...volumeAttributes(product),
  }
}

function instanceAttributes({ instanceType, size }: Product): Record<string, string> {
  if (instanceType === null) return {}
  return {
    ...{ instanceType, operation: 'RunInstances', operatingSystem: 'Linux', tenancy: 'Shared' },
    ...{ preInstalledSw: 'NA', capacitystatus: 'Used', licenseModel: 'No License required' },
    ...(size ? { vcpu: String(size.vcpus), memory: `${size.memoryMib / 1024} GiB` } : {}),
  }
}

function volumeAttributes({ volumeType }: Product): Record<string, string> {
  const name = volumeType === null ? undefined : volumeTypes[volumeType]
  return volumeType !== null && name ? { volumeApiName: volumeType, volumeType: name } : {}
}

/** What can be asked for besides attributes. */
export function fieldsOf(product: Product): Record<string, string> {
  const { sku, productFamily, service } = product
  const family: Record<string, string> = productFamily === null ? {} : { productFamily }
  return { ...attributesOf(product), ...family, sku, ServiceCode: service, termType: 'OnDemand' }
}

/** One entry of `PriceList`: JSON within JSON. */
export function priceListItem(product: Product): string {
  const { sku, productFamily, service, asOf } = product
  return JSON.stringify({
    product: { ...(productFamily === null ? {} : { productFamily }), attributes: attributesOf(product), sku },
    serviceCode: service,
    terms: { OnDemand: { [`${sku}.${onDemandTerm}`]: termOf(product) } },
    version: `${asOf.replaceAll('-', '')}000000`,
    publicationDate: `${asOf}T00:00:00Z`,
  })
}

function termOf({ sku, unit, price, currency, description, asOf }: Product): object {
  const rateCode = `${sku}.${onDemandTerm}.${unitRate}`
  const dimension = {
    ...{ unit, beginRange: '0', endRange: 'Inf', rateCode, appliesTo: [] },
    description: `${price} ${currency} per ${unit}: ${description}`,
    pricePerUnit: { [currency]: price },
  }
  return {
    priceDimensions: { [rateCode]: dimension },
    ...{ sku, effectiveDate: `${asOf}T00:00:00Z`, offerTermCode: onDemandTerm, termAttributes: {} },
  }
}
