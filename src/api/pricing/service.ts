/** AWS's price list: the prices that this Kiln's costs are made with. It answers in any region. */
import type { Cloud } from '../../cloud/cloud.ts'
import { productsOf } from '../../cloud/metering/price-list.ts'
import { JsonInput } from '../json-input.ts'
import { createJsonService } from '../json-protocol.ts'
import type { ApiService } from '../service.ts'
import { pricingHandlers } from './handlers.ts'

export type PricingCloud = Pick<Cloud, 'costs'>

export function createPricingService({ cloud }: { cloud: PricingCloud }): ApiService {
  return createJsonService({
    ...{ name: 'pricing', title: 'the price list', targetPrefix: 'AWSPriceListService', handlers: pricingHandlers },
    async call(handler, input) {
      const { NextToken: _, MaxResults: __, ...question } = input
      return handler({ input: new JsonInput(input), question, products: productsOf(cloud.costs.sheet) })
    },
    messageMember: 'Message',
    exceptions: {
      InternalError: 'InternalErrorException',
      InvalidParameterValue: 'InvalidParameterException',
      RequestChangedException: 'InvalidNextTokenException',
      RequestLimitExceeded: 'ThrottlingException',
    },
  })
}
