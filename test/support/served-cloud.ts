/** All handlers behind a real HTTP server, on a whole cloud with simulated machines, asked by the official client. */
import { dirname, join } from 'node:path'
import { CostExplorerClient } from '@aws-sdk/client-cost-explorer'
import { EBSClient } from '@aws-sdk/client-ebs'
import type { EC2Client, EC2ServiceException } from '@aws-sdk/client-ec2'
import { IAMClient } from '@aws-sdk/client-iam'
import { PricingClient } from '@aws-sdk/client-pricing'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { ServiceQuotasClient } from '@aws-sdk/client-service-quotas'
import { STSClient } from '@aws-sdk/client-sts'
import { afterAll, beforeAll, expect } from 'vitest'
import { createCeService } from '../../src/api/ce/service.ts'
import { controlHandler } from '../../src/api/control/control.ts'
import { ControlJobs } from '../../src/api/control/jobs.ts'
import { createEbsService } from '../../src/api/ebs/service.ts'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { createEc2Service } from '../../src/api/ec2/service.ts'
import type { AuthSettings } from '../../src/api/http/exchange.ts'
import { keyLookup } from '../../src/api/http/issued-keys.ts'
import { createApiServer } from '../../src/api/http/server.ts'
import { createIamService } from '../../src/api/iam/service.ts'
import { createKmsService } from '../../src/api/kms/service.ts'
import { createPricingService } from '../../src/api/pricing/service.ts'
import { createQuotasService } from '../../src/api/quotas/service.ts'
import { createS3Service } from '../../src/api/s3/service.ts'
import { createStsService } from '../../src/api/sts/service.ts'
import { sdkClient } from '../../src/api/testing/running-server.ts'
import { AccessKeys } from '../../src/cloud/access-keys.ts'
import { silentLog } from '../../src/lib/log.ts'
import { openTestCloud, type TestCloud, type TestCloudOptions } from './test-cloud.ts'

export interface ServedCloud extends TestCloud {
  /** A client of that account. Accounts do not see each other, so each test may take its own. */
  client(who: string | Credentials, region?: string): EC2Client
  /** The same account's client of the EBS direct APIs. */
  ebs(accountId: string, region?: string): EBSClient
  /** The same account's client of S3. */
  s3(who: string | Credentials, region?: string, more?: Partial<S3ClientConfig>): S3Client
  /** The same account's client of Cost Explorer, and one of the price list. */
  ce(accountId: string): CostExplorerClient
  pricing(accountId: string): PricingClient
  /** The same account's client of Service Quotas. */
  quotas(accountId: string, region?: string): ServiceQuotasClient
  /** A new key of the whole account, for a cloud that verifies signatures. */
  accountKey(accountId: string): Promise<Credentials>
  /** Clients of IAM and STS: of an account, or with credentials of their own. */
  iam(who: string | Credentials): IAMClient
  sts(who: string | Credentials, region?: string): STSClient
  /** One of Kiln's own requests, as `kiln` makes them: its status and its JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it.
  control(method: string, path: string, body?: unknown): Promise<{ status: number; answer: any }>
  readonly url: string
  /** Where the network's relays bring guests' connections. */
  readonly guestApiSocketPath: string
}

export interface Credentials {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
}

const token = 'the control token of the test'

/** One server for all tests of a file. */
export function useServedCloud(options: TestCloudOptions & { auth?: 'open' | 'verify' } = {}): () => ServedCloud {
  let served: ServedCloud
  const clients: { destroy(): void }[] = []
  let stop = async () => {}

  beforeAll(async () => {
    const testCloud = await openTestCloud(options)
    const { clock, random } = testCloud.deps
    const jobs = new ControlJobs(clock)
    const auth: AuthSettings = {
      mode: options.auth ?? 'open',
      lookupKey: keyLookup(testCloud.cloud.identity.credentials),
    }
    const server = createApiServer({
      services: [
        createEc2Service({ handlers: ec2Handlers, cloud: testCloud.cloud, auth }),
        createEbsService({ cloud: testCloud.cloud }),
        createS3Service({ cloud: testCloud.cloud, auth, clock }),
        createIamService({ cloud: testCloud.cloud }),
        createKmsService({ cloud: testCloud.cloud }),
        createCeService({ cloud: testCloud.cloud }),
        createPricingService({ cloud: testCloud.cloud }),
        createQuotasService(),
        createStsService({ cloud: testCloud.cloud }),
      ],
      auth,
      control: controlHandler({
        ...{ token, jobs, cloud: testCloud.cloud, accessKeys: new AccessKeys(testCloud.deps) },
        health: { version: '0.0.0', machines: 'simulated', accelerator: null },
      }),
      log: silentLog,
      clock,
      random,
    })
    const port = await server.listen({ port: 0, host: '127.0.0.1' })
    const url = `http://127.0.0.1:${port}`
    const guestApiSocketPath = join(dirname(testCloud.deps.volumesDir), 'guest-api.sock')
    await server.listenForGuests(guestApiSocketPath, (guest) => testCloud.cloud.guestAt(guest.vpcId, guest.sourceIp))
    served = {
      ...testCloud,
      url,
      guestApiSocketPath,
      async control(method, path, body) {
        const headers = { 'x-kiln-token': token }
        const question = body === undefined ? undefined : JSON.stringify(body)
        const response = await fetch(`${url}${path}`, { method, headers, body: question })
        return { status: response.status, answer: await response.json() }
      },
      client(who, region) {
        const client = sdkClient(url, credentialsOf(who), region)
        clients.push(client)
        return client
      },
      ebs(accountId, region = 'eu-west-1') {
        const credentials = { accessKeyId: accountId, secretAccessKey: 'any' }
        const client = new EBSClient({ endpoint: url, region, credentials, maxAttempts: 1 })
        clients.push(client)
        return client
      },
      ce(accountId) {
        const credentials = { accessKeyId: accountId, secretAccessKey: 'any' }
        const client = new CostExplorerClient({ endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 })
        clients.push(client)
        return client
      },
      pricing(accountId) {
        const credentials = { accessKeyId: accountId, secretAccessKey: 'any' }
        const client = new PricingClient({ endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 })
        clients.push(client)
        return client
      },
      quotas(accountId, region = 'eu-west-1') {
        const credentials = { accessKeyId: accountId, secretAccessKey: 'any' }
        const client = new ServiceQuotasClient({ endpoint: url, region, credentials, maxAttempts: 1 })
        clients.push(client)
        return client
      },
      async accountKey(accountId) {
        const { id, secret } = await new AccessKeys(testCloud.deps).create(accountId, '')
        return { accessKeyId: id, secretAccessKey: secret }
      },
      iam(who) {
        const client = new IAMClient({
          endpoint: url,
          region: 'us-east-1',
          credentials: credentialsOf(who),
          maxAttempts: 1,
        })
        clients.push(client)
        return client
      },
      sts(who, region = 'eu-west-1') {
        const client = new STSClient({ endpoint: url, region, credentials: credentialsOf(who), maxAttempts: 1 })
        clients.push(client)
        return client
      },
      s3(who, region = 'eu-west-1', more = {}) {
        const credentials = credentialsOf(who)
        const client = new S3Client({ endpoint: url, region, credentials, maxAttempts: 1, ...more })
        clients.push(client)
        return client
      },
    }
    stop = async () => {
      for (const client of clients) client.destroy()
      await server.close(0)
      await jobs.close()
      await testCloud.close()
    }
  })
  afterAll(() => stop())
  return () => served
}

const credentialsOf = (who: string | Credentials): Credentials =>
  typeof who === 'string' ? { accessKeyId: who, secretAccessKey: 'any' } : who

/** Expects an error of EC2 with that code, and a message that names what was wrong. */
export async function expectRefusal(request: Promise<unknown>, code: string, named: string): Promise<void> {
  const error = await request.then(
    () => undefined,
    (thrown: EC2ServiceException) => thrown,
  )
  expect({ code: error?.name, message: error?.message }).toEqual({ code, message: expect.stringContaining(named) })
}
