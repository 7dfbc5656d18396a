/** The price sheet as a list of products, one for each price in each region. */
import { createHash } from 'node:crypto'
import { regionNames } from '../../lib/regions.ts'
import { awsUsageType } from '../../prices/billing-codes.ts'
import { reportText } from '../../prices/money.ts'
import { anyRegion, type PriceSheet } from '../../prices/sheet.ts'
import { usageTypeFacts } from '../../prices/usage-types.ts'
import { type InstanceType, instanceTypes } from '../instances/instance-types.ts'

export interface Product {
  /** Sixteen letters and digits, which do not change with the price. */
  sku: string
  /** `AmazonEC2` */
  service: string
  productFamily: string | null
  /** As AWS writes it: `EU-BoxUsage:t3.micro`. */
  usageType: string
  region: string
  /** `Europe (Ireland)` */
  location: string
  /** Of a running instance. */
  instanceType: string | null
  /** Where Kiln launches that type. */
  size: Pick<InstanceType, 'vcpus' | 'memoryMib'> | null
  /** Of what is priced for a volume's type: `gp3`. */
  volumeType: string | null
  unit: string
  /** Of one unit, with ten places. */
  price: string
  currency: string
  /** `instance running` */
  description: string
  /** The day of this price: `2026-01-31`. */
  asOf: string
}

const lists = new WeakMap<PriceSheet, readonly Product[]>()

/** By SKU. A price for any region is a product in each region that has no own. */
export function productsOf(sheet: PriceSheet): readonly Product[] {
  const known = lists.get(sheet)
  if (known) return known
  const regions = new Set([...Object.keys(regionNames), ...sheet.prices.keys()])
  regions.delete(anyRegion)
  const list = [...regions].flatMap((region) => productsIn(sheet, region)).sort((a, b) => (a.sku < b.sku ? -1 : 1))
  lists.set(sheet, list)
  return list
}

function productsIn(sheet: PriceSheet, region: string): Product[] {
  const usageTypes = new Set([anyRegion, region].flatMap((place) => [...(sheet.prices.get(place)?.keys() ?? [])]))
  return [...usageTypes].flatMap((usageType) => productOf(sheet, usageType, region) ?? [])
}

function productOf(sheet: PriceSheet, usageType: string, region: string): Product | undefined {
  const [facts, price] = [usageTypeFacts(usageType), sheet.priceOf(usageType, region)]
  if (!facts || !price) return undefined
  const { service, productFamily, description } = facts
  const billed = awsUsageType(usageType, region)
  const instanceType = /^(?:Box|Spot)Usage:(.+)$/.exec(usageType)?.[1] ?? null
  return {
    ...{ sku: skuOf(`${service} ${region} ${billed}`), service, productFamily, usageType: billed, region },
    location: regionNames[region] ?? region,
    instanceType,
    size: (instanceType !== null && instanceTypes.get(instanceType)) || null,
    volumeType: /^EBS:Volume(?:Usage|P-IOPS|P-Throughput)\.([a-z0-9]+)/.exec(usageType)?.[1] ?? null,
    ...{ unit: price.unit, price: reportText(price.price), currency: sheet.head.currency, description },
    asOf: price.asOf ?? sheet.head.asOf,
  }
}

function skuOf(name: string): string {
  const digest = BigInt(`0x${createHash('sha256').update(name).digest('hex')}`)
  return digest.toString(36).toUpperCase().padStart(16, '0').slice(-16)
}
