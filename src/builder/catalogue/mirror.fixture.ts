/** A publisher's host on this machine: files under their paths, with ranges and entity tags, and lines that break. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Mirror {
  readonly url: string
  /** By path; folders are indexed by what lies in them. */
  readonly files: Map<string, Buffer>
  /** From which place to which other. */
  readonly redirects: Map<string, string>
  /** Paths that were asked for, with the range if there was one. */
  readonly asked: { path: string; range: string | undefined; ifRange: string | undefined }[]
  /** Breaks the line behind so many bytes of each answer of more than that; undefined for never. */
  cutAfterBytes: number | undefined
  close(): Promise<void>
}

export async function openMirror(): Promise<Mirror> {
  const server = createServer((request, response) => answer(mirror, request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const mirror: Mirror = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files: new Map(),
    redirects: new Map(),
    asked: [],
    cutAfterBytes: undefined,
    close: () => closed(server),
  }
  return mirror
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

function answer(mirror: Mirror, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url!, mirror.url).pathname)
  const { range, 'if-range': ifRange } = request.headers
  mirror.asked.push({ path, range, ifRange: ifRange as string | undefined })
  const [from, to] = [...mirror.redirects].find(([prefix]) => path.startsWith(prefix)) ?? []
  if (from !== undefined) return void response.writeHead(302, { location: path.replace(from, to!) }).end()
  const file = mirror.files.get(path) ?? (path.endsWith('/') ? indexOf(mirror, path) : undefined)
  if (!file) return void response.writeHead(404).end('no such file')
  send(mirror, file, { range, ifRange: ifRange as string | undefined }, response)
}

function send(
  { cutAfterBytes }: Mirror,
  file: Buffer,
  { range, ifRange }: { range: string | undefined; ifRange: string | undefined },
  response: ServerResponse,
): void {
  const etag = `"${createHash('sha256').update(file).digest('hex').slice(0, 16)}"`
  const begin = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
  const isPart = range !== undefined && (ifRange === undefined || ifRange === etag)
  if (isPart && begin >= file.length) return void response.writeHead(416).end()
  const rest = isPart ? file.subarray(begin) : file
  response.writeHead(isPart ? 206 : 200, {
    ...{ etag, 'content-length': rest.length, 'accept-ranges': 'bytes' },
    ...(isPart ? { 'content-range': `bytes ${begin}-${file.length - 1}/${file.length}` } : {}),
  })
  if (cutAfterBytes === undefined || rest.length <= cutAfterBytes) return void response.end(rest)
  response.write(rest.subarray(0, cutAfterBytes), () => setTimeout(() => response.destroy(), 100))
}

/** As web servers write it, or undefined when nothing lies below. */
function indexOf({ files }: Mirror, folder: string): Buffer | undefined {
  const below = [...files.keys()].filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length))
  if (below.length === 0) return undefined
  const names = new Set(below.map((path) => /^[^/]*\/?/.exec(path)![0]))
  const links = [...names].map((name) => `<a href="${encodeURI(name)}">${name}</a>`)
  return Buffer.from(`<html><a href="?C=M;O=A">Last modified</a> <a href="../">up</a> ${links.join('\n')}</html>`)
}
