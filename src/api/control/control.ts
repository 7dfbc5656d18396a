/**
 * Kiln's own requests, under `/_kiln/`: what EC2 has no words for. Everything but the health page and the cloud's certificate
 * needs the control token, which lies in the home, so only whoever may read the home may ask.
 */
import { timingSafeEqual } from 'node:crypto'
import type { AccessKeys } from '../../cloud/access-keys.ts'
import type { Cloud } from '../../cloud/cloud.ts'
import { isKilnError } from '../../lib/errors.ts'
import type { ControlHandler } from '../http/exchange.ts'
import type { HttpAnswer } from '../service.ts'
import { budgetRoutes } from './budgets.ts'
import { costRoutes } from './costs.ts'
import { encryptionKeyRoutes } from './encryption-keys.ts'
import type { ControlJobs } from './jobs.ts'
import { publicImageRoutes } from './public-images.ts'
import { type Route, storeRoutes } from './stores.ts'
import { transferRoutes } from './transfers.ts'

export interface ControlSettings {
  token: string
  health: { version: string; machines: 'qemu' | 'simulated'; accelerator: 'kvm' | 'tcg' | null }
  cloud: Cloud
  accessKeys: AccessKeys
  jobs: ControlJobs
}

export function controlHandler({ token, health, cloud, accessKeys, jobs }: ControlSettings): ControlHandler {
  const routes: [method: string, path: RegExp, route: Route][] = [
    ['GET', /^\/_kiln\/status$/, () => cloud.overview()],
    ['GET', /^\/_kiln\/volumes\/(vol-[0-9a-f]{17})$/, (_, [, id]) => cloud.volumes.usage(id!)],
    [
      'POST',
      /^\/_kiln\/volumes\/(vol-[0-9a-f]{17})\/hydrate$/,
      async (_, [, id]) => cloud.hydration.hydrate(await cloud.volumes.any(id!)),
    ],
    ['GET', /^\/_kiln\/keys$/, () => accessKeys.list()],
    [
      'POST',
      /^\/_kiln\/keys$/,
      ({ query }) => {
        const wish = new URLSearchParams(query)
        return accessKeys.create(wish.get('account') ?? '', wish.get('description') ?? '')
      },
    ],
    ['DELETE', /^\/_kiln\/keys\/([A-Z0-9]{16,32})$/, (_, [, id]) => accessKeys.remove(id!)],
    ...encryptionKeyRoutes(cloud),
    ...costRoutes(cloud, jobs),
    ...budgetRoutes(cloud),
    ...storeRoutes(cloud, jobs),
    ...transferRoutes(cloud),
    ...publicImageRoutes(cloud),
  ]
  return async (request) => {
    if (request.method === 'GET' && request.path === '/_kiln/health') return json(200, { status: 'ready', ...health })
    if (request.method === 'GET' && request.path === '/_kiln/certificate') {
      const { certificate } = await cloud.certificates.cloudIdentity()
      return { status: 200, contentType: 'application/x-pem-file', body: certificate }
    }
    const found = routes.find(([method, path]) => method === request.method && path.test(request.path))
    if (!found) return undefined
    if (!isToken(request.headers.get('x-kiln-token'), token)) {
      return json(403, { error: 'the control token of the home is missing or wrong (header x-kiln-token)' })
    }
    const [, path, route] = found
    try {
      const answer = (await route(request, path.exec(request.path)!)) ?? {}
      return Buffer.isBuffer(answer)
        ? { status: 200, contentType: 'application/octet-stream', body: answer }
        : json(200, answer)
    } catch (error) {
      if (isKilnError(error)) return json(error.status, { code: error.code, error: error.message })
      throw error
    }
  }
}

const json = (status: number, value: unknown): HttpAnswer => ({
  status,
  contentType: 'application/json',
  body: JSON.stringify(value),
})

function isToken(given: string | undefined, token: string): boolean {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(token)]
  return a.length === b.length && timingSafeEqual(a, b)
}
