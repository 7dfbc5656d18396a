/** What lies in a region's object store, and what clients make of refusals. */
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { homeAt } from '../../src/lib/home.ts'
import type { TestCloud } from './test-cloud.ts'

/** The names of all contents of a region's objects; none where the region has no store. */
export async function objectFiles({ deps }: Pick<TestCloud, 'deps'>, region = 'eu-west-1'): Promise<string[]> {
  const folder = join(homeAt(dirname(deps.volumesDir)).regionsDir, region, 'objects')
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  return names.filter((name) => name.includes('/'))
}

/** `CODE STATUS` of the refusal that a client got; `accepted` where it got none. */
export async function refusalOf(request: Promise<unknown>): Promise<string> {
  return await request.then(
    () => 'accepted',
    (error: { name: string; $metadata?: { httpStatusCode?: number }; message: string }) =>
      error.$metadata ? `${error.name} ${error.$metadata.httpStatusCode}` : error.message,
  )
}
