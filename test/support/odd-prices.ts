/** Prices that come out even nowhere, for a model of the bill and as a price sheet. */
import { readPriceSheet } from '../../src/prices/sheets.ts'
import type { ModelPrice } from './bill-model.ts'

const hour = { per: 'hour', perUnit: 1n, minute: true } as const
const month = { per: 'month', perUnit: 1n, minute: true } as const
const gib = { per: 'month', perUnit: 2n ** 30n, minute: false } as const
export const modelPrices: Record<string, ModelPrice> = {
  'BoxUsage:t3.nano': { ...hour, micros: 5_203n },
  'BoxUsage:m1.large': { ...hour, micros: 100_003n },
  'EBS:VolumeUsage.gp2': { ...month, micros: 50_021n },
  'EBS:VolumeUsage.gp3': { ...month, micros: 80_021n },
  'EBS:VolumeUsage.io1': { ...month, micros: 125_003n },
  'EBS:VolumeP-IOPS.io1': { ...month, micros: 65_011n },
  'EBS:VolumeP-IOPS.gp3': { ...month, micros: 5_011n },
  'EBS:VolumeP-Throughput.gp3': { ...month, micros: 40_009n },
  'EBS:SnapshotUsage': { ...gib, micros: 50_023n },
  'EBS:SnapshotArchiveStorage': { ...gib, micros: 12_503n },
  'EBS:SnapshotArchiveEarlyDelete': { ...gib, micros: 12_511n },
  'DataTransfer-Regional-Out': { per: 'once', perUnit: 2n ** 30n, minute: false, micros: 20_011n },
  'TimedStorage-ByteHrs': { ...gib, micros: 23_003n },
  'PublicIPv4:InUseAddress': { ...hour, micros: 5_003n },
}

const unitOf = ({ per }: ModelPrice, usageType: string) => {
  if (per === 'hour') return 'Hrs'
  if (per === 'once') return 'GB'
  if (usageType.includes('IOPS')) return 'IOPS-Mo'
  return usageType.includes('Throughput') ? 'MiBps-Mo' : 'GB-Mo'
}

const rows = Object.entries(modelPrices).map(([usageType, price]) => {
  const decimal = `0.${String(price.micros).padStart(6, '0')}`
  return ['*', usageType, unitOf(price, usageType), decimal, price.minute ? 'second' : 'none'].join(',')
})
const head = 'format,kiln-price-sheet\nversion,1\ncurrency,USD\nasOf,2026-06-01\nsource,a test'
export const prices = readPriceSheet(Buffer.from(`${head}\nregion,usageType,unit,price,rounding\n${rows.join('\n')}\n`))
