/** STS behind the HTTP edge. */
import type { Cloud } from '../../cloud/cloud.ts'
import { modelAt } from '../ec2/model/model.ts'
import { createQueryService } from '../query-service.ts'
import type { ApiService } from '../service.ts'
import { stsHandlers } from './handlers.ts'

const model = modelAt(new URL('./model/model.generated.json', import.meta.url))

export function createStsService({ cloud }: { cloud: Pick<Cloud, 'identity'> }): ApiService {
  return createQueryService({
    name: 'sts',
    namespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
    model,
    handlers: stsHandlers as Readonly<Record<string, never>>,
    contextOf: ({ caller }) => ({ caller, cloud }),
  })
}
