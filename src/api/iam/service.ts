/**
 * IAM behind the HTTP edge. It is one for all regions: whichever one signs, the same users. What policies say is kept and
 * told, and not enforced, but for who may assume a role.
 */
import type { Cloud } from '../../cloud/cloud.ts'
import { createQueryService } from '../query-service.ts'
import type { ApiService } from '../service.ts'
import { iamHandlers } from './handlers/index.ts'
import { iamModel } from './model/model.ts'

export function createIamService({ cloud }: { cloud: Pick<Cloud, 'identity' | 'certificates'> }): ApiService {
  return createQueryService({
    name: 'iam',
    namespace: 'https://iam.amazonaws.com/doc/2010-05-08/',
    model: iamModel,
    handlers: iamHandlers as Readonly<Record<string, never>>,
    contextOf: ({ accountId, caller }, operation) => ({ operation, accountId, caller, cloud }),
  })
}
