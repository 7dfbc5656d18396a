/**
 * A report as AWS's Cost and Usage Report 2.0 has it, in those of its columns that mean something here. Sources: "CUR 2.0
 * columns" in the AWS Data Exports guide. What has no price is there, without rate and cost.
 */
import { stringify } from 'csv-stringify/sync'
import { awsUsageType } from '../../../prices/billing-codes.ts'
import { usageTypeFacts } from '../../../prices/usage-types.ts'
import type { Report, ReportGroup, ReportHead, ReportLine, UnpricedLine } from './cost-report.ts'

export interface DetailedReport extends ReportHead, Report {
  /** By resource id. */
  resources: Record<string, { kind: string; imageId: string | null; tags: Record<string, string> }>
}

interface Row {
  report: DetailedReport
  group: ReportGroup
  line: UnpricedLine & Partial<Pick<ReportLine, 'price' | 'cost'>>
}

/** Operations that AWS names in its reports; of others the column is empty. */
const operations: readonly (readonly [usageType: RegExp, operation: string])[] = [
  [/^BoxUsage:/, 'RunInstances'],
  [/^EBS:VolumeUsage\.gp2$/, 'CreateVolume-Gp2'],
  [/^EBS:VolumeUsage\.gp3$/, 'CreateVolume-Gp3'],
  [/^EBS:SnapshotUsage$/, 'CreateSnapshot'],
  [/^TimedStorage-ByteHrs$/, 'StandardStorage'],
]

const columns: Readonly<Record<string, (row: Row) => string | null | undefined>> = {
  bill_billing_period_start_date: ({ group }) => `${group.from.slice(0, 7)}-01T00:00:00Z`,
  line_item_usage_account_id: ({ group }) => group.keys[0],
  line_item_line_item_type: () => 'Usage',
  line_item_usage_start_date: ({ group }) => group.from,
  line_item_usage_end_date: ({ group }) => group.to,
  line_item_product_code: ({ line }) => line.service,
  line_item_usage_type: ({ line }) => awsUsageType(line.usageType, line.region),
  line_item_operation: ({ line }) => operations.find(([usageType]) => usageType.test(line.usageType))?.[1],
  line_item_resource_id: ({ group }) => group.keys[1],
  line_item_usage_amount: ({ line }) => line.quantity,
  pricing_unit: ({ line }) => line.unit,
  line_item_unblended_rate: ({ line }) => line.price,
  line_item_unblended_cost: ({ line }) => line.cost,
  line_item_currency_code: ({ report, line }) => (line.cost === undefined ? undefined : report.currency),
  line_item_line_item_description: ({ line }) => usageTypeFacts(line.usageType)?.description,
  product_product_family: ({ line }) => usageTypeFacts(line.usageType)?.productFamily,
  product_instance_type: ({ line }) => /^BoxUsage:(.+)$/.exec(line.usageType)?.[1],
  product_region_code: ({ line }) => line.region,
  resource_tags: ({ report, group }) => tagsOf(report.resources[group.keys[1]!]?.tags),
}

/** The report is grouped by account and resource. */
export function costCsv(report: DetailedReport): string {
  const rows = report.groups.flatMap((group) =>
    [...group.lines, ...group.unpriced].map((line) =>
      Object.values(columns).map((cell) => cell({ report, group, line })),
    ),
  )
  return stringify([Object.keys(columns), ...rows])
}

/** A map of one column, with AWS's prefix of tags that users gave. */
function tagsOf(tags: Readonly<Record<string, string>> = {}): string {
  return JSON.stringify(Object.fromEntries(Object.entries(tags).map(([key, value]) => [`user_${key}`, value])))
}
