/** boto3, where Python has it, as a second judge of what the official JavaScript client has judged. */
import { fileURLToPath } from 'node:url'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { account, officialServices, region } from './official-services.ts'

const script = fileURLToPath(new URL('./waiters_and_paginators.py', import.meta.url))
const withinMs = 240_000

/** Why it cannot be run, in brackets; undefined where it can. */
export const boto3Missing = await run('python3', ['-c', 'import boto3']).then(
  () => undefined,
  () => ' (skipped: python3 cannot import boto3; Debian: python3-boto3)',
)

export interface Boto3Rows {
  /** By `SERVICE.OPERATION`. */
  paginators?: readonly { name: string; input: object; pageSize: number; isOnePage: boolean }[]
  /** By `SERVICE.STATE`; all of them are waited for at once. */
  waiters?: readonly { name: string; input: object; isNever: boolean }[]
}

/**
 * Runs every paginator, or every waiter, that boto3 has for an operation that Kiln serves; resolves to how many ran and to
 * what went wrong with others, one that has no row included.
 */
export async function runBoto3(url: string, rows: Boto3Rows): Promise<{ ran: number; failures: string[] }> {
  const served = Object.fromEntries(
    Object.entries(officialServices).map(([service, { operations }]) => [service, [...operations]]),
  )
  const said = await run('python3', [script, JSON.stringify({ url, account, region, served, ...rows })], {
    timeoutMs: withinMs,
  }).catch((error) => {
    throw error instanceof ProgramError ? new Error(error.message, { cause: error }) : error
  })
  return JSON.parse(said)
}
