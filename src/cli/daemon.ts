/** The daemon that serves a home, as other commands find it and talk to it. */
import { readFile } from 'node:fs/promises'
import { messageOf } from '../lib/errors.ts'
import { type Home, homeAt } from '../lib/home.ts'
import { isAlive } from '../lib/programs.ts'
import type { DaemonPage } from '../server.ts'

const requestTimeoutMs = 30_000

/** Undefined when nothing serves the home; the page of a daemon that died is not believed. */
export async function findDaemon(home: Home): Promise<DaemonPage | undefined> {
  const text = await readFile(home.daemonPath, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const page = JSON.parse(text) as DaemonPage
  return isAlive(page) ? { ...page, url: dialable(page.url) } : undefined
}

/** Throws with what to type when nothing serves the home. */
export async function daemonOf(homePath: string): Promise<DaemonPage> {
  const home = homeAt(homePath)
  const page = await findDaemon(home)
  if (page) return page
  throw new Error(`no Kiln serves the home ${home.root}: start one with 'kiln serve', or name another --home`)
}

/** An address that means "all of this host" is not one to dial. */
function dialable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

/** One of Kiln's own requests (`/_kiln/…`), of JSON if at all; its JSON answer. Throws with the daemon's words when it refuses. */
export async function control<T>(
  page: DaemonPage,
  path: string,
  method: 'GET' | 'POST' | 'DELETE' = 'GET',
  question?: unknown,
): Promise<T> {
  const body = question === undefined ? undefined : JSON.stringify(question)
  const response = await request(`${page.url}${path}`, { method, headers: { 'x-kiln-token': page.token }, body })
  const text = await response.text()
  if (response.ok) return JSON.parse(text) as T
  throw new Error(refusalIn(text) ?? `the Kiln at ${page.url} answered ${response.status} to ${path}`)
}

/** The same with bytes instead of JSON: a piece that is sent, or fetched. */
export async function controlBytes(
  page: DaemonPage,
  path: string,
  method: 'GET' | 'PUT',
  body?: Uint8Array<ArrayBuffer>,
): Promise<Buffer> {
  const response = await request(`${page.url}${path}`, { method, headers: { 'x-kiln-token': page.token }, body })
  const bytes = Buffer.from(await response.arrayBuffer())
  if (response.ok) return bytes
  throw new Error(refusalIn(bytes.toString()) ?? `the Kiln at ${page.url} answered ${response.status} to ${path}`)
}

function refusalIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: string }).error
  } catch {
    return undefined
  }
}

/** A bounded fetch, whose failure says who did not answer. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(requestTimeoutMs) })
  } catch (error) {
    const cause = messageOf((error as Error).cause ?? error)
    throw new Error(`the Kiln at ${new URL(url).origin} does not answer (${cause}); its standard error may say why`)
  }
}
