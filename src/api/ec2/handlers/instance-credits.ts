/** CPU credits of burstable instances: kept and told, see `cpu-credits.ts`. */
import type { UnsuccessfulInstanceCreditSpecificationItem } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import {
  burstableTypes,
  type CpuCredits,
  type CreditFamily,
  checkBurstable,
  creditFamilies,
  creditsOf,
} from '../../../cloud/instances/cpu-credits.ts'
import { isKilnError, KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { readCredits } from '../shared/launch-request.ts'
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
      filters: [...filters, { name: 'instance-type', values: burstableTypes }],
      page: readPage('DescribeInstanceCreditSpecifications', input, scope, {
        ids: { parameter: 'InstanceIds', given: ids },
      }),
    })
    return {
      InstanceCreditSpecifications: page.items.map((instance) => ({
        InstanceId: instance.id,
        CpuCredits: creditsOf(instance),
      })),
      NextToken: nextTokenOf('DescribeInstanceCreditSpecifications', scope, page.next),
    }
  },

  async ModifyInstanceCreditSpecification(input, context) {
    readClientToken(input)
    const asked = input.InstanceCreditSpecifications!.map(({ InstanceId, CpuCredits: credits }) => ({
      InstanceId,
      credits: readCredits(credits, 'InstanceCreditSpecification.CpuCredits'),
    }))
    const changed: { InstanceId: string | undefined }[] = []
    const refused: UnsuccessfulInstanceCreditSpecificationItem[] = []
    for (const { InstanceId, credits } of asked) {
      const problem = await problemOfSetting(InstanceId, credits, context)
      if (problem) refused.push({ InstanceId, Error: problem })
      else changed.push({ InstanceId })
    }
    return { SuccessfulInstanceCreditSpecifications: changed, UnsuccessfulInstanceCreditSpecifications: refused }
  },

  async GetDefaultCreditSpecification(input, context) {
    const family = readFamily(input.InstanceFamily)
    const credits = await context.cloud.accountSettings.defaultCredits(scopeOf(context), family)
    return { InstanceFamilyCreditSpecification: { InstanceFamily: family, CpuCredits: credits } }
  },

  async ModifyDefaultCreditSpecification(input, context) {
    const family = readFamily(input.InstanceFamily)
    const credits = readCredits(input.CpuCredits, 'CpuCredits')
    await context.cloud.accountSettings.setDefaultCredits(scopeOf(context), family, credits)
    return { InstanceFamilyCreditSpecification: { InstanceFamily: family, CpuCredits: credits } }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'instances' | 'accountSettings'>>

function readFamily(family: string | undefined): CreditFamily {
  const known = creditFamilies.find((name) => name === family)
  if (known) return known
  throw new KilnError(
    'InvalidParameterValue',
    `The instance family '${clipped(family ?? '')}' has no CPU credits (InstanceFamily): ${creditFamilies.join(', ')} have`,
  )
}

/** Sets it, or says what is against it: told for each instance, where other operations refuse the request. */
async function problemOfSetting(
  instanceId: string | undefined,
  cpuCredits: CpuCredits,
  context: RequestContext<Pick<Cloud, 'instances'>>,
): Promise<UnsuccessfulInstanceCreditSpecificationItem['Error']> {
  const scope = scopeOf(context)
  try {
    const instance = await context.cloud.instances.get(scope, readId('instance', instanceId ?? ''))
    checkBurstable(instance)
    await context.cloud.instances.modify(scope, instance.id, { cpuCredits })
    return undefined
  } catch (error) {
    if (!isKilnError(error)) throw error
    return {
      Code: error.code as NonNullable<UnsuccessfulInstanceCreditSpecificationItem['Error']>['Code'],
      Message: error.message,
    }
  }
}
