/**
 * IAM behind the HTTP edge. It is one for all regions: whichever one signs, the same users. What policies say is kept and
 * told, and not enforced, but for who may assume a role.
 */
import type { Cloud } from '../../cloud/cloud.ts'
import { modelAt } from '../ec2/model/model.ts'
import { createQueryService } from '../query-service.ts'
import type { ApiService } from '../service.ts'
import { iamHandlers } from './handlers/index.ts'

const model = modelAt(new URL('./model/model.generated.json', import.meta.url))

export function createIamService({ cloud }: { cloud: Pick<Cloud, 'identity' | 'certificates'> }): ApiService {
  return createQueryService({
    name: 'iam',
    namespace: 'https://iam.amazonaws.com/doc/2010-05-08/',
    model,
    handlers: iamHandlers as Readonly<Record<string, never>>,
    contextOf: ({ accountId, caller }, operation) => ({ operation, accountId, caller, cloud }),
  })
}
