/**
 * The operations of Service Quotas that are served. Nobody can raise a quota here, so that the applied ones are AWS's
 * defaults of this Kiln. Source: the Service Quotas API reference.
 */
import type { Scope } from '../../cloud/deps.ts'
import { type Quota, quotaServices, quotas } from '../../cloud/quotas.ts'
import { KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { JsonInput } from '../json-input.ts'
import { pageOf } from '../json-pages.ts'

export interface QuotaRequest {
  input: JsonInput
  /** What makes one page belong to another. */
  question: object
  scope: Scope
}

const mostListed = 100

export const quotaHandlers: Readonly<Record<string, (request: QuotaRequest) => object>> = {
  ListServices({ input, question }) {
    const services = Object.entries(quotaServices).map(([code, name]) => ({ ServiceCode: code, ServiceName: name }))
    const page = pageOf(services, pageRequest(input, question), ({ ServiceCode }) => [ServiceCode])
    return { Services: page.items, NextToken: page.nextToken }
  },

  ListServiceQuotas: (request) => listed(request, (quota) => appliedQuota(quota, request.scope)),

  ListAWSDefaultServiceQuotas: (request) => listed(request, (quota) => defaultQuota(quota, request.scope)),

  GetServiceQuota: ({ input, scope }) => ({ Quota: appliedQuota(quotaOf(input), scope) }),

  GetAWSDefaultServiceQuota: ({ input, scope }) => ({ Quota: defaultQuota(quotaOf(input), scope) }),
}

function listed({ input, question }: QuotaRequest, shape: (quota: Quota) => object): object {
  const code = input.text('QuotaCode')
  const found = quotasOfService(input).filter((quota) => code === undefined || quota.code === code)
  const page = pageOf(found, pageRequest(input, question), (quota) => [quota.code])
  return { Quotas: page.items.map(shape), NextToken: page.nextToken }
}

function quotasOfService(input: JsonInput): Quota[] {
  const service = input.requiredText('ServiceCode')
  if (Object.hasOwn(quotaServices, service)) return quotas.filter((quota) => quota.service === service)
  throw new KilnError('NotFoundException', `The service '${clipped(service)}' has no quotas here (ServiceCode).`)
}

function quotaOf(input: JsonInput): Quota {
  const code = input.requiredText('QuotaCode')
  const quota = quotasOfService(input).find((one) => one.code === code)
  if (quota) return quota
  throw new KilnError('NotFoundException', `The service has no quota '${clipped(code)}' here (QuotaCode).`)
}

function pageRequest(input: JsonInput, question: object) {
  const size = input.integer('MaxResults', { min: 1, max: mostListed }) ?? mostListed
  return { question, size, token: input.text('NextToken', { max: 2048 }) }
}

const appliedQuota = (quota: Quota, { accountId, region }: Scope) => ({
  ...shapeOf(quota, `arn:aws:servicequotas:${region}:${accountId}:${quota.service}/${quota.code}`),
  QuotaAppliedAtLevel: 'ACCOUNT',
})

const defaultQuota = (quota: Quota, { region }: Scope) =>
  shapeOf(quota, `arn:aws:servicequotas:${region}::${quota.service}/${quota.code}`)

const shapeOf = ({ service, code, name, value }: Quota, arn: string) => ({
  ...{ ServiceCode: service, ServiceName: quotaServices[service], QuotaArn: arn, QuotaCode: code, QuotaName: name },
  ...{ Value: value, Unit: 'None', Adjustable: false, GlobalQuota: false },
})
