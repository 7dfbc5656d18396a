/** A machine for the tests of an image: QEMU with user networking, SSH on a loopback port, and metadata by the test. */
import { mkdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, isAlive, type ProcessRef, run, startDetached } from '../../lib/programs.ts'

export interface Metadata {
  instanceId: string
  hostname: string
  publicKey: string
  userData: string | null
  /** Version 2 refuses requests without a token; version 1 knows no tokens. */
  version: 1 | 2
}

export interface GuestOptions {
  dir: string
  diskPath: string
  metadata: Metadata
  diskDevice: 'virtio-blk-pci' | 'nvme'
  /** Further disks, each a qcow2 file. */
  moreDisks?: readonly { path: string; serial: string }[]
  keyPath: string
}

export class Guest {
  readonly #dir: string
  readonly #keyPath: string
  readonly #sshPort: number
  readonly #metadata: Server
  readonly #process: ProcessRef

  private constructor(options: GuestOptions, sshPort: number, metadata: Server, process: ProcessRef) {
    this.#dir = options.dir
    this.#keyPath = options.keyPath
    this.#sshPort = sshPort
    this.#metadata = metadata
    this.#process = process
  }

  static async start(options: GuestOptions): Promise<Guest> {
    const { dir, moreDisks = [] } = options
    await mkdir(dir)
    const metadata = await serveMetadata(options.metadata, join(dir, 'imds'))
    const sshPort = await freePort()
    // Slirp forwards only addresses of the guest's own network: the smallest that holds both ours and the metadata's.
    const network = [
      'user,id=n0,net=168.0.0.0/5,host=172.31.0.1,dns=172.31.0.2,dhcpstart=172.31.0.10,restrict=on',
      `hostfwd=tcp:127.0.0.1:${sshPort}-172.31.0.10:22`,
      `guestfwd=tcp:169.254.169.254:80-cmd:socat - UNIX-CONNECT:${join(dir, 'imds')}`,
    ]
    const process = await startDetached(
      'qemu-system-x86_64',
      [
        // A small buffer of translated code: without it a reset spends half a minute on throwing the old kernel's away.
        ...['-accel', 'tcg,thread=multi,tb-size=32', '-cpu', 'max', '-machine', 'q35', '-m', '192'],
        ...['-display', 'none', '-nodefaults'],
        ...['-serial', `file:${join(dir, 'console')}`, '-qmp', `unix:${join(dir, 'qmp')},server=on,wait=off`],
        ...['-drive', `if=none,id=d0,format=qcow2,discard=unmap,file=${options.diskPath}`],
        ...['-device', `${options.diskDevice},drive=d0,serial=vol0123456789abcdef0,bootindex=0`],
        ...moreDisks.flatMap(({ path, serial }, index) => [
          ...['-drive', `if=none,id=more${index},format=qcow2,discard=unmap,file=${path}`],
          ...['-device', `virtio-blk-pci,drive=more${index},serial=${serial}`],
        ]),
        ...['-netdev', network.join(','), '-device', 'virtio-net-pci,netdev=n0,romfile='],
      ],
      { logPath: join(dir, 'qemu.log') },
    )
    return new Guest(options, sshPort, metadata, process)
  }

  console(): Promise<string> {
    return readFile(join(this.#dir, 'console'), 'utf8').catch(() => '')
  }

  /** Waits until logins work, for the `times`th time since the start. */
  ready(times = 1): Promise<void> {
    return this.says('kiln-linux: ready', times)
  }

  /** Waits until the console has said that so often. */
  async says(text: string, times = 1): Promise<void> {
    const seen = await waitFor(
      systemClock,
      async () => ((await this.console()).split(text).length > times ? true : undefined),
      { everyMs: 100, timeoutMs: 90_000 },
    )
    if (!seen) throw new Error(`the guest did not say "${text}":\n${await this.console()}\n${await this.#qemuLog()}`)
  }

  /** Runs a command line in the guest as ec2-user; its standard output, trimmed. */
  async ssh(command: string): Promise<string> {
    const args = [...this.#clientOptions(), '-p', String(this.#sshPort), 'ec2-user@127.0.0.1', command]
    return (await run('ssh', args)).trim()
  }

  async copyIn(source: string, target: string): Promise<void> {
    await run('scp', [...this.#clientOptions(), '-P', String(this.#sshPort), source, `ec2-user@127.0.0.1:${target}`])
  }

  async pressPowerButton(): Promise<void> {
    const socket = connect(join(this.#dir, 'qmp'))
    socket.on('error', () => {})
    socket.write('{"execute":"qmp_capabilities"}\n{"execute":"system_powerdown"}\n')
    // Two answers after the greeting.
    let lines = 0
    for await (const chunk of socket) {
      lines += String(chunk).split('"return"').length - 1
      if (lines >= 2) break
    }
  }

  /** Milliseconds until QEMU has ended by itself, or undefined. */
  async ended(timeoutMs: number): Promise<number | undefined> {
    const start = systemClock.now()
    const gone = await waitFor(systemClock, () => (isAlive(this.#process) ? undefined : true), {
      everyMs: 10,
      timeoutMs,
    })
    return gone && systemClock.now() - start
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#process)
    this.#metadata.closeAllConnections()
    await new Promise((resolve) => this.#metadata.close(resolve))
  }

  #clientOptions(): string[] {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'BatchMode=yes']
    return ['-F', 'none', '-q', '-i', this.#keyPath, ...options.flatMap((option) => ['-o', option])]
  }

  #qemuLog(): Promise<string> {
    return readFile(join(this.#dir, 'qemu.log'), 'utf8').catch(() => '')
  }
}

async function serveMetadata(metadata: Metadata, socketPath: string): Promise<Server> {
  const token = 'dG9rZW4tb2YtdGhlLXRlc3Q='
  const pages: Record<string, string | null> = {
    '/latest/meta-data/instance-id': metadata.instanceId,
    '/latest/meta-data/local-hostname': metadata.hostname,
    '/latest/meta-data/public-keys/': '0=trial',
    '/latest/meta-data/public-keys/0/openssh-key': metadata.publicKey,
    '/latest/user-data': metadata.userData,
  }
  const server = createServer((request, response) => {
    const answer = (status: number, body = '') => {
      response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) }).end(body)
    }
    if (request.method === 'PUT') return metadata.version === 2 ? answer(200, token) : answer(405)
    if (metadata.version === 2 && request.headers['x-aws-ec2-metadata-token'] !== token) return answer(401)
    const page = pages[request.url!]
    return page == null ? answer(404) : answer(200, page)
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return server
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createTcpServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
