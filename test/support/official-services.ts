/** The services that Kiln answers, as their official clients see them: which waiters and paginators they have for what is served. */
import * as ebs from '@aws-sdk/client-ebs'
import * as ec2 from '@aws-sdk/client-ec2'
import * as iam from '@aws-sdk/client-iam'
import * as pricing from '@aws-sdk/client-pricing'
import * as s3 from '@aws-sdk/client-s3'
import * as quotas from '@aws-sdk/client-service-quotas'
import { ebsHandlers } from '../../src/api/ebs/handlers.ts'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { iamHandlers } from '../../src/api/iam/handlers/index.ts'
import { pricingHandlers } from '../../src/api/pricing/handlers.ts'
import { quotaHandlers } from '../../src/api/quotas/handlers.ts'
import { s3Handlers } from '../../src/api/s3/service.ts'
import type { ServedCloud } from './served-cloud.ts'

/** The account and the region of the tests that run them. */
export const account = '000000000001'
export const region = 'us-east-1'

export type ServiceName = 'ec2' | 's3' | 'ebs' | 'iam' | 'pricing' | 'service-quotas'

interface OfficialService {
  exports: object
  /** Names of the operations that Kiln serves. */
  operations: ReadonlySet<string>
  client(served: ServedCloud): unknown
}

export const officialServices: Readonly<Record<ServiceName, OfficialService>> = {
  ec2: {
    exports: ec2,
    operations: new Set(Object.keys(ec2Handlers)),
    client: (served) => served.client(account, region),
  },
  s3: { exports: s3, operations: new Set(Object.keys(s3Handlers)), client: (served) => served.s3(account, region) },
  ebs: { exports: ebs, operations: new Set(Object.keys(ebsHandlers)), client: (served) => served.ebs(account, region) },
  iam: { exports: iam, operations: new Set(Object.keys(iamHandlers)), client: (served) => served.iam(account) },
  pricing: {
    exports: pricing,
    operations: new Set(Object.keys(pricingHandlers)),
    client: (served) => served.pricing(account),
  },
  'service-quotas': {
    exports: quotas,
    operations: new Set(Object.keys(quotaHandlers)),
    client: (served) => served.quotas(account, region),
  },
}

const allServices = Object.entries(officialServices) as [ServiceName, OfficialService][]

type Configuration = { client: unknown } & Record<string, unknown>
export type Paginate = (configuration: Configuration, input: object) => AsyncIterable<Record<string, unknown>>
export type WaitUntil = (configuration: Configuration, input: object) => Promise<{ state: string }>

/** `SERVICE.OPERATION` of every paginator whose operation Kiln serves, with its function. */
export function servedPaginators(): Map<string, { service: ServiceName; paginate: Paginate }> {
  const found = allServices.flatMap(([service, { exports, operations }]) =>
    named<Paginate>(exports, 'paginate').flatMap(([operation, paginate]) =>
      operations.has(operation) ? [[`${service}.${operation}`, { service, paginate }] as const] : [],
    ),
  )
  return new Map(found)
}

/** `SERVICE.STATE` of every waiter whose operation Kiln serves, with its function. */
export async function servedWaiters(): Promise<Map<string, { service: ServiceName; waitUntil: WaitUntil }>> {
  const found = new Map<string, { service: ServiceName; waitUntil: WaitUntil }>()
  for (const [service, { exports, operations }] of allServices) {
    for (const [state, waitUntil] of named<WaitUntil>(exports, 'waitUntil')) {
      if (operations.has(await askedBy(waitUntil))) found.set(`${service}.${state}`, { service, waitUntil })
    }
  }
  return found
}

function named<T>(exports: object, prefix: string): [string, T][] {
  return Object.entries(exports).flatMap(([name, value]) =>
    name.startsWith(prefix) ? [[name.slice(prefix.length), value as T] as [string, T]] : [],
  )
}

/** The operation that a waiter asks with: the first that it sends. */
async function askedBy(waitUntil: WaitUntil): Promise<string> {
  let asked = ''
  const stopped = new AbortController()
  const client = {
    async send(command: object) {
      asked = command.constructor.name.replace(/Command$/, '')
      stopped.abort()
      return {}
    },
  }
  const configuration = { client, maxWaitTime: 2, minDelay: 1, maxDelay: 1, abortSignal: stopped.signal }
  await waitUntil(configuration, {}).catch(() => {})
  return asked
}
