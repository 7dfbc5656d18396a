/** Cost Explorer: what an account's usage costs, will cost, and by what it can be told apart. It answers in any region. */
import type { Cloud } from '../../cloud/cloud.ts'
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import { JsonInput } from '../json-input.ts'
import { createJsonService } from '../json-protocol.ts'
import type { ApiService } from '../service.ts'
import { type CeRequest, ceHandlers } from './handlers.ts'

export type CeCloud = Pick<Cloud, 'costs'>

export function createCeService({ cloud }: { cloud: CeCloud }): ApiService {
  return createJsonService({
    ...{ name: 'ce', title: 'Cost Explorer', targetPrefix: 'AWSInsightsIndexService', handlers: ceHandlers },
    async call(handler, input, { accountId }) {
      const { NextPageToken: _, ...rest } = input
      const request = { input: new JsonInput(input), question: { accountId, ...rest }, costs: cloud.costs, accountId }
      checkBillingView(request)
      return await handler(request)
    },
    messageMember: 'Message',
    exceptions: {
      InternalError: 'InternalServerException',
      InvalidParameterValue: 'ValidationException',
      RequestLimitExceeded: 'LimitExceededException',
    },
  })
}

/** Every account has one view of its costs, with all of them. */
function checkBillingView({ input, accountId }: CeRequest): void {
  const arn = input.text('BillingViewArn', { min: 20, max: 2048 })
  const own = `arn:aws:billing::${accountId}:billingview/primary`
  if (arn === undefined || arn === own) return
  throw new KilnError(
    'ResourceNotFoundException',
    `BillingViewArn '${clipped(arn)}' does not exist: the account has ${own}`,
  )
}
