/** STS behind the HTTP edge. */
import type { Cloud } from '../../cloud/cloud.ts'
import { createQueryService } from '../query-service.ts'
import type { ApiService } from '../service.ts'
import { stsHandlers } from './handlers.ts'
import { stsModel } from './model/model.ts'

export function createStsService({ cloud }: { cloud: Pick<Cloud, 'identity'> }): ApiService {
  return createQueryService({
    name: 'sts',
    namespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
    model: stsModel,
    handlers: stsHandlers as Readonly<Record<string, never>>,
    contextOf: ({ caller }) => ({ caller, cloud }),
  })
}
