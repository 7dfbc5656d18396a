/** Service Quotas: what an account may have at most, as far as Kiln bounds it. It answers in any region. */
import { JsonInput } from '../json-input.ts'
import { createJsonService } from '../json-protocol.ts'
import type { ApiService } from '../service.ts'
import { quotaHandlers } from './handlers.ts'

export function createQuotasService(): ApiService {
  return createJsonService({
    ...{ name: 'servicequotas', title: 'Service Quotas', targetPrefix: 'ServiceQuotasV20190624' },
    handlers: quotaHandlers,
    async call(handler, input, scope) {
      const { NextToken: _, MaxResults: __, ...question } = input
      return handler({ input: new JsonInput(input), question, scope })
    },
    messageMember: 'Message',
    exceptions: {
      InternalError: 'ServiceException',
      InvalidNextTokenException: 'InvalidPaginationTokenException',
      InvalidParameterValue: 'IllegalArgumentException',
      NotFoundException: 'NoSuchResourceException',
      RequestChangedException: 'InvalidPaginationTokenException',
      RequestLimitExceeded: 'TooManyRequestsException',
    },
  })
}
