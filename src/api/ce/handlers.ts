/** The operations of Cost Explorer that are served. Source: the AWS Billing and Cost Management API reference. */
import type { Costs } from '../../cloud/metering/costs.ts'
import type { JsonInput } from '../json-input.ts'
import { getCostAndUsage, getCostAndUsageWithResources } from './cost-and-usage.ts'
import { getCostForecast, getUsageForecast } from './forecasts.ts'
import { getDimensionValues, getTags } from './values.ts'

export interface CeRequest {
  input: JsonInput
  /** What makes one page belong to another: all but the page itself. */
  question: object
  costs: Costs
  /** An account sees its own costs only. */
  accountId: string
}

export const ceHandlers: Readonly<Record<string, (request: CeRequest) => Promise<object>>> = {
  GetCostAndUsage: getCostAndUsage,
  GetCostAndUsageWithResources: getCostAndUsageWithResources,
  GetCostForecast: getCostForecast,
  GetDimensionValues: getDimensionValues,
  GetTags: getTags,
  GetUsageForecast: getUsageForecast,
}
