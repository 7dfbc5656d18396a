/**
 * The paginators of the AWS SDK for JavaScript and of boto3, every one that they have for an operation that Kiln serves:
 * pages of the size that was asked for bring what the whole list has, nothing twice and nothing left out.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { boto3Missing, runBoto3 } from '../support/boto3.ts'
import { officialServices, type Paginate, type ServiceName, servedPaginators } from '../support/official-services.ts'
import { fillAccount, type PagedList, pagedLists } from '../support/paged-lists.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const usualPageSize = 5
/** Pages that never end, end here. */
const mostPages = 1000
let lists: Readonly<Record<string, PagedList>>
beforeAll(async () => {
  lists = pagedLists(await fillAccount(served()))
})

/** What a page lists. Tokens of blocks differ from one answer to the next, and say nothing of the block. */
function listedOn(page: Record<string, unknown>): string[] {
  const isTold = (name: string, value: unknown) => (name.endsWith('Token') ? undefined : value)
  return Object.values(page).flatMap((value) =>
    Array.isArray(value) ? value.map((item) => JSON.stringify(item, isTold)) : [],
  )
}

const clients = new Map<ServiceName, unknown>()
async function pagesOf(
  service: ServiceName,
  paginate: Paginate,
  input: object,
  pageSize?: number,
): Promise<string[][]> {
  if (!clients.has(service)) clients.set(service, officialServices[service].client(served()))
  const pages: string[][] = []
  // A copy of the input: the client writes the next page's token into it.
  for await (const page of paginate({ client: clients.get(service), pageSize }, { ...input })) {
    if (pages.push(listedOn(page)) > mostPages) throw new Error(`there are more than ${mostPages} pages`)
  }
  return pages
}

describe('AWS SDK for JavaScript', () => {
  test.each([...servedPaginators()])('%s', async (name, { service, paginate }) => {
    const { input = {}, pageSize = usualPageSize, onePage } = lists[name] ?? expect.fail(`pagedLists has no ${name}`)
    const whole = (await pagesOf(service, paginate, input)).flat().sort()
    const pages = await pagesOf(service, paginate, input, pageSize)
    expect(pages.flat().sort()).toEqual(whole)
    expect(new Set(whole).size).toBe(whole.length)
    expect(pages.filter((page) => page.length > pageSize)).toEqual([])
    if (onePage === undefined) expect(pages.length).toBeGreaterThan(1)
    else expect(pages).toHaveLength(1)
  })
})

test.skipIf(boto3Missing)(`boto3${boto3Missing ?? ''}`, async () => {
  const rows = Object.entries(lists).map(([name, { input = {}, pageSize = usualPageSize, onePage }]) => ({
    ...{ name, input, pageSize, isOnePage: onePage !== undefined },
  }))
  const { ran, failures } = await runBoto3(served().url, { paginators: rows })
  expect(failures).toEqual([])
  expect(ran).toBeGreaterThan(30)
})
