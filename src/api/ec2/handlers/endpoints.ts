/**
 * VPC endpoints and prefix lists: ways to AWS's own services, which no VPC of Kiln has. Guests reach Kiln's services at
 * the address of their metadata, so AWS's lists of addresses would lead them elsewhere: there are none.
 */
import type { Cloud } from '../../../cloud/cloud.ts'
import { type ErrorCode, KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers, InputOf, OperationName, RequestContext } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { askedFor, filtered } from '../shared/listed.ts'
import { readPage } from '../shared/pagination.ts'

export const endpointHandlers = {
  async DescribeVpcEndpoints(input, context) {
    expectNone('DescribeVpcEndpoints', input, context, {
      ids: input.VpcEndpointIds,
      notFound: 'InvalidVpcEndpointId.NotFound',
      what: 'VPC endpoint ID',
      filters: [
        ...['ip-address-type', 'service-name', 'service-region', 'tag:*', 'tag-key', 'vpc-id', 'vpc-endpoint-id'],
        ...['vpc-endpoint-state', 'vpc-endpoint-type'],
      ],
    })
    return { VpcEndpoints: [] }
  },

  async DescribePrefixLists(input, context) {
    expectNone('DescribePrefixLists', input, context, {
      ids: input.PrefixListIds,
      ...{ notFound: 'InvalidPrefixListID.NotFound', what: 'prefix list ID' },
      filters: ['prefix-list-id', 'prefix-list-name'],
    })
    return { PrefixLists: [] }
  },

  async DescribeManagedPrefixLists(input, context) {
    expectNone('DescribeManagedPrefixLists', input, context, {
      ids: input.PrefixListIds,
      ...{ notFound: 'InvalidPrefixListID.NotFound', what: 'prefix list ID' },
      filters: ['owner-id', 'prefix-list-id', 'prefix-list-name'],
    })
    return { PrefixLists: [] }
  },
} satisfies Ec2Handlers<Cloud>

interface Listing {
  ids: readonly string[] | undefined
  notFound: ErrorCode
  what: string
  filters: readonly string[]
}

type ListingOperation = Extract<
  OperationName,
  'DescribeVpcEndpoints' | 'DescribePrefixLists' | 'DescribeManagedPrefixLists'
>

/** Throws for what EC2 refuses of such a list, ids that do not exist among it. */
function expectNone<Name extends ListingOperation>(
  operation: Name,
  input: InputOf<Name>,
  context: RequestContext<Cloud>,
  { ids, notFound, what, filters }: Listing,
): void {
  readPage(operation, input, context, { min: 1 })
  const unknown = (id: string) => new KilnError(notFound, `The ${what} '${id}' does not exist`)
  askedFor<{ id: string }>([], (item) => item.id, ids, unknown)
  filtered([], Object.fromEntries(filters.map((name) => [name, () => []])), readFilters(input.Filters))
}
