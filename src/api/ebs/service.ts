/** The EBS direct APIs behind the HTTP edge: REST-JSON, with blocks of 512 KiB as bodies. */
import { limits } from '../../lib/limits.ts'
import { parseForm } from '../ec2/codec/form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from '../service.ts'
import { ebsErrorAnswer } from './errors.ts'
import { type EbsCloud, ebsHandlers } from './handlers.ts'
import { RequestSlots } from './request-slots.ts'
import { routeOf } from './routes.ts'

export function createEbsService({ cloud }: { cloud: EbsCloud }): ApiService {
  const slots = new RequestSlots({ atOnce: limits.directRequestsAtOnce, waiting: limits.directRequestsWaiting })

  async function handle({ method, path, query, headers, body, ...request }: ServiceRequest): Promise<HttpAnswer> {
    const route = routeOf(method, path)
    request.audit.action = route.operation
    const { accountId, region } = request
    const scope = { accountId, region }
    return await slots.run(async () => {
      await cloud.enter(scope)
      return await ebsHandlers[route.operation]({ route, query: parseForm(query), headers, body, scope, cloud })
    })
  }

  return {
    name: 'ebs',
    // A block is signed by its checksum: "Use EBS direct APIs checksums to validate snapshot data" in the EBS user guide.
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false, unsignedBodies: ['PUT'] },
    // More than a block, so that one of a wrong size is told so.
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer: (error) => ebsErrorAnswer(error),
  }
}
