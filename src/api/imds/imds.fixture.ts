/** Instances, their metadata service on a socket, and a client that calls it as the network's relay does. */
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { createImdsServer, type ImdsServer } from './imds-server.ts'
import type { ImdsInstance } from './instance.ts'

export const mac = '0a:12:34:56:78:9a'
export const web: ImdsInstance = {
  instanceId: 'i-0123456789abcdef0',
  imageId: 'ami-0123456789abcdef0',
  imageManifestPath: null,
  instanceType: 't3.nano',
  architecture: 'x86_64',
  accountId: '123456789012',
  region: 'eu-west-1',
  availabilityZone: 'eu-west-1a',
  availabilityZoneId: 'euw1-az1',
  reservationId: 'r-0123456789abcdef0',
  launchIndex: 0,
  monitoring: 'disabled',
  lifeCycle: 'on-demand',
  system: 'nitro',
  launchedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  moreNetworks: [],
  network: {
    deviceIndex: 0,
    interfaceId: 'eni-0123456789abcdef0',
    mac,
    privateIp: '172.31.0.10',
    privateHostname: 'ip-172-31-0-10.eu-west-1.compute.internal',
    publicIp: '127.5.6.7',
    publicHostname: null,
    subnetId: 'subnet-0123456789abcdef0',
    subnetCidr: '172.31.0.0/20',
    vpcId: 'vpc-1',
    vpcCidr: '172.31.0.0/16',
    securityGroups: [
      { id: 'sg-1', name: 'default' },
      { id: 'sg-2', name: 'web' },
    ],
  },
  key: { name: 'my key', openSshPublicKey: 'ssh-ed25519 AAAA my key\n' },
  iam: null,
  userData: Buffer.from('#!/bin/sh\necho \xff\n', 'latin1'),
  blockDevices: [
    { deviceName: '/dev/xvda', kind: 'root' },
    { deviceName: '/dev/sdf', kind: 'ebs' },
    { deviceName: '/dev/sdg', kind: 'ebs' },
    { deviceName: '/dev/sdb', kind: 'ephemeral' },
  ],
  options: { httpEndpoint: 'enabled', httpTokens: 'optional', instanceMetadataTags: 'enabled' },
  tags: { Name: 'web 1' },
}
export const strict: ImdsInstance = {
  ...web,
  instanceId: 'i-0fffffffffffffff0',
  key: null,
  userData: null,
  tags: {},
  network: { ...web.network, privateIp: '172.31.0.11', publicIp: null },
  options: { httpEndpoint: 'enabled', httpTokens: 'required', instanceMetadataTags: 'disabled' },
}
const closed: ImdsInstance = { ...web, options: { ...web.options, httpEndpoint: 'disabled' } }

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
}

const secret = Buffer.alloc(32, 7)
const instances = new Map([
  ['vpc-1/172.31.0.10', web],
  ['vpc-1/172.31.0.11', strict],
  ['vpc-1/172.31.0.12', closed],
  ['vpc-2/172.31.0.10', { ...web, instanceId: 'i-02222222222222220' }],
])

export interface ImdsBench {
  /** Asks as the relay of that VPC does for the guest with that address. */
  call(
    method: string,
    path: string,
    headers?: Record<string, string>,
    privateIp?: string,
    vpcId?: string,
  ): Promise<Reply>
  /** A session token of the instance with that address. */
  token(ttlSeconds?: number, privateIp?: string): Promise<string>
  socketPath(): string
  passMs(elapsedMs: number): void
  /** As a daemon does that starts anew. */
  restart(): Promise<void>
}

/** A service for each test of the file. Its signatures are names of what they are over. */
export function useImdsBench(): ImdsBench {
  let folder: string
  let server: ImdsServer
  let nowMs: number
  const socketPath = () => join(folder, 'imds')

  const start = async () => {
    server = createImdsServer({
      source: {
        instanceAt: async (vpcId, ip) => instances.get(`${vpcId}/${ip}`) ?? null,
        signaturesOf: async (document) => ({ signature: `signed ${document}`, pkcs7: `contains ${document}` }),
      },
      secret,
      clock: { now: () => nowMs, sleep: () => Promise.reject(new Error('unused')) },
      log: silentLog,
    })
    await server.listen(socketPath())
  }
  beforeEach(async () => {
    nowMs = 1_800_000_000_000
    folder = await mkdtemp(join(tmpdir(), 'kiln-imds-'))
    await start()
  })
  afterEach(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })

  const call: ImdsBench['call'] = (method, path, headers = {}, privateIp = '172.31.0.10', vpcId = 'vpc-1') =>
    ask(socketPath(), method, path, { 'x-kiln-vpc': vpcId, 'x-kiln-source-ip': privateIp, ...headers })
  return {
    call,
    async token(ttlSeconds = 60, privateIp) {
      const asked = { 'X-aws-ec2-metadata-token-ttl-seconds': String(ttlSeconds) }
      const reply = await call('PUT', '/latest/api/token', asked, privateIp)
      expect(reply.status).toBe(200)
      expect(reply.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe(String(ttlSeconds))
      return reply.text
    },
    socketPath,
    passMs: (elapsedMs) => {
      nowMs += elapsedMs
    },
    restart: async () => {
      await server.close()
      await start()
    },
  }
}

function ask(socketPath: string, method: string, path: string, headers: Record<string, string>): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers }, async (answer) => {
      const chunks: Buffer[] = []
      for await (const chunk of answer) chunks.push(chunk)
      const body = Buffer.concat(chunks)
      resolve({ status: answer.statusCode!, headers: answer.headers, body, text: body.toString() })
    })
    outgoing.on('error', reject).end()
  })
}
