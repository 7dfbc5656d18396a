/** A Describe operation of what has ids, filters, pages and tags: once for every kind that is listed in this way. */
import type { Filter as Ec2Filter } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { ListOf } from '../../../cloud/existing.ts'
import type { OperationName, RequestContext } from '../handler.ts'
import { readFilters } from './filters.ts'
import { type RequestedKind, readIds } from './ids.ts'
import { nextTokenOf, readPage } from './pagination.ts'
import { scopeOf } from './scope.ts'
import type { Tag } from './tag-specifications.ts'

interface DescribeInput {
  Filters?: Ec2Filter[] | undefined
  MaxResults?: number | undefined
  NextToken?: string | undefined
}

interface Description<Row, Shape> {
  kind: RequestedKind
  /** EC2's name of the parameter that asks for ids, and what was asked for. */
  ids: readonly [parameter: string, given: string[] | undefined]
  /** Bounds of a page, where they are not the usual ones. */
  page?: { min?: number; max?: number }
  list(request: ListOf): Promise<{ items: Row[]; next: string | null }>
  shape(row: Row, tags: readonly Tag[]): Shape
}

/** The page as EC2 tells it, and where the next begins. */
export async function describe<Row extends { id: string }, Shape>(
  operation: OperationName,
  input: DescribeInput,
  context: RequestContext<Pick<Cloud, 'tags'>>,
  { kind, ids: [parameter, given], page: bounds, list, shape }: Description<Row, Shape>,
): Promise<{ items: Shape[]; NextToken: string | undefined }> {
  const scope = scopeOf(context)
  const ids = readIds(kind, given)
  const filters = readFilters(input.Filters)
  const page = readPage(operation, input, scope, { ...bounds, ids: { parameter, given: ids } })
  const { items, next } = await list({ ids, filters, page })
  const tags = await context.cloud.tags.of(
    scope,
    items.map((row) => row.id),
  )
  return {
    items: items.map((row) => shape(row, tags.get(row.id) ?? [])),
    NextToken: nextTokenOf(operation, scope, next),
  }
}
