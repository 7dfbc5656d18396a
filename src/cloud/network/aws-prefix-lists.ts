/**
 * The prefix lists that AWS itself keeps, as far as the addresses behind them are here: guests find S3 beside their
 * metadata, and DynamoDB nowhere. Source: "AWS-managed prefix lists" in the VPC user guide.
 */
import { createHash } from 'node:crypto'
import { guestApi } from '../../lib/guest-origin.ts'
import { type PrefixList, prefixListsOfAll } from '../../state/prefix-lists.ts'
import type { CloudDeps } from '../deps.ts'

const blocksOf: Readonly<Record<string, readonly string[]>> = { s3: [`${guestApi.address}/32`], dynamodb: [] }

export const serviceName = (region: string, service: string) => `com.amazonaws.${region}.${service}`

/** The same in every Kiln, as templates that name one expect. */
export function awsPrefixListId(region: string, service: string): string {
  return `pl-${createHash('sha256').update(serviceName(region, service)).digest('hex').slice(0, 8)}`
}

/** Makes those of the region, if they are not there yet. */
export async function ensureAwsPrefixLists({ state }: CloudDeps, region: string): Promise<void> {
  await state.transaction(async (tx) => {
    for (const [service, cidrs] of Object.entries(blocksOf)) {
      const id = awsPrefixListId(region, service)
      if (await tx.prefixLists.get(id)) continue
      const row: PrefixList = {
        ...{ id, accountId: prefixListsOfAll, region, name: serviceName(region, service), addressFamily: 'IPv4' },
        ...{ maxEntries: Math.max(1, cidrs.length), version: 1, state: 'create-complete', createdAt: 0 },
      }
      await tx.prefixLists.insert(
        row,
        cidrs.map((cidr) => ({ cidr, description: null })),
      )
    }
  })
}
