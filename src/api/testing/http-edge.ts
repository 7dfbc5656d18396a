/** What the tests of the HTTP edge share: one server at a time, and requests that the official client would not make. */
import { request } from 'node:http'
import type { EC2Client } from '@aws-sdk/client-ec2'
import { afterEach } from 'vitest'
import { type RunningServer, sdkClient, startServer } from './running-server.ts'

export const account = '123456789012'
export const credentials = { accessKeyId: account, secretAccessKey: 'any' }

export const authorization = (service = 'ec2', region = 'eu-west-1') =>
  `AWS4-HMAC-SHA256 Credential=${account}/20260101/${region}/${service}/aws4_request, SignedHeaders=host, Signature=0`

export let running: RunningServer | undefined
export let client: EC2Client | undefined

export async function start(options?: Parameters<typeof startServer>[0]): Promise<RunningServer> {
  running = await startServer(options)
  client = sdkClient(running.url, credentials)
  return running
}

afterEach(async () => {
  client?.destroy()
  await running?.close(0)
})

export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** A request that the official client would not make. */
export function send(
  options: { method?: string; path?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { port: running!.port, host: '127.0.0.1', agent: false, path: '/', ...options },
      (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece))
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(pieces).toString() }),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(options.body)
  })
}

export const codeOf = (reply: Reply) => /<Code>([^<]*)<\/Code>/.exec(reply.body)?.[1]
export const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => ({ name: 'accepted' }),
    (error: Error & { $metadata?: { httpStatusCode?: number; requestId?: string } }) => error,
  )
