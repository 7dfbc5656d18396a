/** Cost Explorer: what an account's usage costs, will cost, and by what it can be told apart. It answers in any region. */
import type { Cloud } from '../../cloud/cloud.ts'
import { JsonInput } from '../json-input.ts'
import { createJsonService } from '../json-protocol.ts'
import type { ApiService } from '../service.ts'
import { ceHandlers } from './handlers.ts'

export type CeCloud = Pick<Cloud, 'costs'>

export function createCeService({ cloud }: { cloud: CeCloud }): ApiService {
  return createJsonService({
    ...{ name: 'ce', title: 'Cost Explorer', targetPrefix: 'AWSInsightsIndexService', handlers: ceHandlers },
    async call(handler, input, { accountId }) {
      const { NextPageToken: _, ...rest } = input
      const question = { accountId, ...rest }
      return await handler({ input: new JsonInput(input), question, costs: cloud.costs, accountId })
    },
    messageMember: 'Message',
    exceptions: {
      InternalError: 'InternalServerException',
      InvalidClientTokenId: 'UnrecognizedClientException',
      InvalidParameterValue: 'ValidationException',
      RequestLimitExceeded: 'LimitExceededException',
    },
  })
}
