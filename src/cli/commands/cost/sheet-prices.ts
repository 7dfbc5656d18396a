/** The prices of a sheet that a comparison needs. */
import type { Exact } from '../../../prices/money.ts'
import { defaultPriceSheet } from '../../../prices/sheets.ts'
import { UsageError } from '../../failure.ts'
import { ownPrices } from '../../home-settings.ts'
import { readPriceFile } from '../../price-files.ts'

export interface SheetPrices {
  currency: string
  /** Of an hour. */
  rate: Exact
  /** Of a GB for a month; undefined where the sheet has none. */
  volumeGbMonth: Exact | undefined
  bundleGbMonth: Exact | undefined
  snapshotGbMonth: Exact | undefined
}

interface Wish {
  instanceType: string
  volumeType: string
  region: string
  /** A file; AWS's prices unless given. */
  prices: string | undefined
}

export async function sheetPrices({ instanceType, volumeType, region, prices }: Wish): Promise<SheetPrices> {
  const sheet = prices === undefined || prices === ownPrices ? defaultPriceSheet() : await readPriceFile(prices)
  const priceOf = (usageType: string) => sheet.priceOf(usageType, region)?.price
  const rate = priceOf(`BoxUsage:${instanceType}`)
  if (!rate)
    throw new UsageError(`the price sheet has no price for ${instanceType} in ${region}: give --rate, or --prices`)
  return {
    ...{ currency: sheet.head.currency, rate, volumeGbMonth: priceOf(`EBS:VolumeUsage.${volumeType}`) },
    ...{ bundleGbMonth: priceOf('TimedStorage-ByteHrs'), snapshotGbMonth: priceOf('EBS:SnapshotUsage') },
  }
}
