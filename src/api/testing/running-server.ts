/** A real API server on a free port, for tests. */
import { EC2Client } from '@aws-sdk/client-ec2'
import { systemClock } from '../../lib/clock.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import { systemRandom } from '../../lib/random.ts'
import type { Ec2Handlers } from '../ec2/handler.ts'
import { createEc2Service } from '../ec2/service.ts'
import type { AuthSettings, ChainSettings } from '../http/exchange.ts'
import { type ApiServer, createApiServer, type ServerTimeouts } from '../http/server.ts'
import { createStsService } from '../sts/service.ts'

/** A cloud that keeps only who entered it: the edge itself asks for no more. */
export class EmptyCloud {
  readonly entered: string[] = []

  async enter({ accountId, region }: { accountId: string; region: string }): Promise<void> {
    this.entered.push(`${accountId} ${region}`)
  }
}

export interface RunningServer {
  url: string
  port: number
  close(graceMs?: number): Promise<void>
}

/** For servers whose tests ask STS only who they are. */
const nobody = {
  get identity(): never {
    throw new Error('this server knows nobody')
  },
}

export async function startServer(
  options: {
    handlers?: Ec2Handlers<EmptyCloud>
    auth?: AuthSettings
    log?: Log
    timeouts?: Partial<ServerTimeouts>
    /** Takes connections of guests there too. */
    guests?: { socketPath: string; at: Parameters<ApiServer['listenForGuests']>[1] }
  } = {},
): Promise<RunningServer> {
  const auth: AuthSettings = options.auth ?? { mode: 'open' }
  const settings = {
    services: [
      createEc2Service({ handlers: options.handlers ?? {}, cloud: new EmptyCloud(), auth }),
      createStsService({ cloud: nobody }),
    ],
    auth,
    control: async ({ method, path }) =>
      method === 'GET' && path === '/_kiln/health'
        ? { status: 200, contentType: 'application/json', body: '{"status":"ready"}' }
        : undefined,
    log: options.log ?? silentLog,
    clock: systemClock,
    random: systemRandom,
  } satisfies ChainSettings
  const server = createApiServer(settings, options.timeouts)
  const port = await server.listen({ port: 0, host: '127.0.0.1' })
  if (options.guests) await server.listenForGuests(options.guests.socketPath, options.guests.at)
  return { url: `http://127.0.0.1:${port}`, port, close: (graceMs) => server.close(graceMs) }
}

export function sdkClient(
  url: string,
  credentials: { accessKeyId: string; secretAccessKey: string },
  region = 'eu-west-1',
) {
  return new EC2Client({ endpoint: url, region, credentials, maxAttempts: 1 })
}
