/** CPU credits of burstable instances. Machines are never throttled, which is what `unlimited` says. */
import type { UnsuccessfulInstanceCreditSpecificationItem } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import { isKilnError, KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { checkCredits } from '../shared/launch-request.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'

export const instanceCreditHandlers = {
  async DescribeInstanceCreditSpecifications(input, context) {
    const scope = scopeOf(context)
    const ids = readIds('instance', input.InstanceIds)
    for (const id of ids ?? []) checkBurstable(await context.cloud.instances.get(scope, id))
    const filters = readFilters(input.Filters)
    const unknown = filters.find(({ name }) => name !== 'instance-id')
    if (unknown) throw new KilnError('InvalidParameterValue', `The filter '${unknown.name}' is invalid`)
    const page = await context.cloud.instances.list(scope, {
      ids,
      filters: [...filters, { name: 'instance-type', values: burstable }],
      page: readPage('DescribeInstanceCreditSpecifications', input, scope, {
        ids: { parameter: 'InstanceIds', given: ids },
      }),
    })
    return {
      InstanceCreditSpecifications: page.items.map(({ id }) => ({ InstanceId: id, CpuCredits: 'unlimited' })),
      NextToken: nextTokenOf('DescribeInstanceCreditSpecifications', scope, page.next),
    }
  },

  async ModifyInstanceCreditSpecification(input, context) {
    readClientToken(input)
    const asked = input.InstanceCreditSpecifications!
    for (const { CpuCredits: credits } of asked) {
      checkCredits({ CpuCredits: credits }, 'InstanceCreditSpecification.CpuCredits')
    }
    const changed: { InstanceId: string | undefined }[] = []
    const refused: UnsuccessfulInstanceCreditSpecificationItem[] = []
    for (const { InstanceId } of asked) {
      const problem = await problemOf(InstanceId, context)
      if (problem) refused.push({ InstanceId, Error: problem })
      else changed.push({ InstanceId })
    }
    return { SuccessfulInstanceCreditSpecifications: changed, UnsuccessfulInstanceCreditSpecifications: refused }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'instances'>>

const burstable = [...instanceTypes.values()].filter((type) => type.burstable).map((type) => type.name)

function checkBurstable({ id, instanceType }: { id: string; instanceType: string }): void {
  if (burstable.includes(instanceType)) return
  throw new KilnError(
    'InstanceCreditSpecification.NotSupported',
    `The instance '${id}' has the type ${instanceType}, which has no CPU credits (InstanceId)`,
  )
}

/** Told for each instance, where other operations refuse the request. */
async function problemOf(
  instanceId: string | undefined,
  context: RequestContext<Pick<Cloud, 'instances'>>,
): Promise<UnsuccessfulInstanceCreditSpecificationItem['Error']> {
  try {
    const instance = await context.cloud.instances.get(scopeOf(context), readId('instance', instanceId ?? ''))
    checkBurstable(instance)
    if (instance.state !== 'terminated' && instance.state !== 'shutting-down') return undefined
    return { Code: 'IncorrectInstanceState', Message: `The instance '${instance.id}' is ${instance.state}` }
  } catch (error) {
    if (!isKilnError(error)) throw error
    return {
      Code: error.code as NonNullable<UnsuccessfulInstanceCreditSpecificationItem['Error']>['Code'],
      Message: error.message,
    }
  }
}
