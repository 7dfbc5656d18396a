/**
 * The instance metadata service, versions 1 and 2. It listens on a unix socket; the network's relays, the only ones that
 * reach it, say in two headers which VPC and which address a request came from. It knows no other identity.
 *
 * Source: "Use the Instance Metadata Service to access instance metadata" in the Amazon EC2 user guide.
 */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ImdsInstance, ImdsSource } from './instance.ts'
import { render } from './metadata-nodes.ts'
import { metadataAt } from './metadata-tree.ts'
import { issueToken, tokenSecondsLeft, tokenTtlSecondsMax } from './session-tokens.ts'

export interface ImdsServerOptions {
  source: ImdsSource
  /** At least 32 bytes; the same after a restart, so that guests' tokens stay good. */
  secret: Buffer
  clock: Clock
  log: Log
}

export interface ImdsServer {
  /** Takes over the path from a server that is gone. */
  listen(socketPath: string): Promise<void>
  close(): Promise<void>
}

/** Set by the network's relays, which drop what a guest sends under these names. */
const vpcHeader = 'x-kiln-vpc'
const sourceHeader = 'x-kiln-source-ip'
const tokenHeader = 'x-aws-ec2-metadata-token'
const ttlHeader = 'x-aws-ec2-metadata-token-ttl-seconds'
const tokenPath = '/latest/api/token'

const bounds = { headerBytes: 16 * 1024, requestTimeoutMs: 20_000, pathLength: 2048 }

const reasons = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
} as const
type Refusal = keyof typeof reasons

interface Answer {
  status: 200 | Refusal
  headers?: Record<string, string>
  body?: string | Buffer
}

export function createImdsServer(options: ImdsServerOptions): ImdsServer {
  const server = createServer({ maxHeaderSize: bounds.headerBytes }, async (incoming, outgoing) => {
    // No request of this service has a body worth reading.
    incoming.resume()
    try {
      send(incoming, outgoing, await answer(options, incoming))
    } catch (error) {
      options.log.error({ error, path: incoming.url }, 'the metadata service failed')
      send(incoming, outgoing, { status: 500 })
    }
  })
  server.requestTimeout = bounds.requestTimeoutMs
  return {
    listen: async (socketPath) => {
      await rm(socketPath, { force: true })
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve))
      await chmod(socketPath, 0o600)
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

async function answer({ source, secret, clock }: ImdsServerOptions, incoming: IncomingMessage): Promise<Answer> {
  const vpcId = incoming.headers[vpcHeader]
  const privateIp = incoming.headers[sourceHeader]
  const path = pathOf(incoming)
  if (typeof vpcId !== 'string' || typeof privateIp !== 'string' || path === undefined) return { status: 400 }
  const instance = await source.instanceAt(vpcId, privateIp)
  if (instance === null) return { status: 404 }
  if (instance.options.httpEndpoint === 'disabled') return { status: 403 }
  if (path === tokenPath) return tokenAnswer(secret, instance, incoming, clock.now())
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' } }

  const token = incoming.headers[tokenHeader]
  if (token === undefined) {
    return instance.options.httpTokens === 'required' ? { status: 401 } : metadataAnswer(source, instance, path)
  }
  const secondsLeft = typeof token === 'string' ? tokenSecondsLeft(secret, instance.instanceId, token, clock.now()) : 0
  if (secondsLeft === 0) return { status: 401 }
  return metadataAnswer(source, instance, path, { [ttlHeader]: String(secondsLeft) })
}

/** The session token. A request that a proxy passed on gets none: it may come from outside the instance. */
function tokenAnswer(secret: Buffer, instance: ImdsInstance, incoming: IncomingMessage, nowMs: number): Answer {
  if (incoming.method !== 'PUT') return { status: 405, headers: { allow: 'PUT' } }
  if (incoming.headers['x-forwarded-for'] !== undefined) return { status: 403 }
  const text = incoming.headers[ttlHeader]
  const ttlSeconds = typeof text === 'string' && /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (ttlSeconds < 1 || ttlSeconds > tokenTtlSecondsMax) return { status: 400 }
  return {
    status: 200,
    headers: { [ttlHeader]: String(ttlSeconds) },
    body: issueToken(secret, instance.instanceId, ttlSeconds, nowMs),
  }
}

async function metadataAnswer(
  source: ImdsSource,
  instance: ImdsInstance,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const node = metadataAt(instance, (document) => source.signaturesOf(document), path)
  if (node === undefined) return { status: 404, headers }
  const type = Buffer.isBuffer(node) ? 'application/octet-stream' : 'text/plain'
  return { status: 200, headers: { ...headers, 'content-type': type }, body: await render(node) }
}

/** The decoded path without its query; undefined when it is malformed. */
function pathOf(incoming: IncomingMessage): string | undefined {
  const path = (incoming.url ?? '').split('?')[0]!
  if (!path.startsWith('/') || path.length > bounds.pathLength) return undefined
  try {
    return decodeURIComponent(path).replace(/\/{2,}/g, '/')
  } catch {
    return undefined
  }
}

function send(incoming: IncomingMessage, outgoing: ServerResponse, { status, headers, body }: Answer): void {
  const content = Buffer.from(body ?? errorPage(status as Refusal))
  outgoing.writeHead(status, {
    'content-type': status === 200 ? 'text/plain' : 'text/html',
    'content-length': content.length,
    server: 'EC2ws',
    ...headers,
  })
  outgoing.end(incoming.method === 'HEAD' ? undefined : content)
}

function errorPage(status: Refusal): string {
  const title = `${status} - ${reasons[status]}`
  return [
    '<?xml version="1.0" encoding="iso-8859-1"?>',
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">',
    '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">',
    ` <head><title>${title}</title></head>`,
    ` <body><h1>${title}</h1></body>`,
    '</html>',
    '',
  ].join('\n')
}
