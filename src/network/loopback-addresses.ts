/** Public addresses of instances: one of 127.0.0.0/8 each, out of a range that belongs to the home. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Random, randomInt } from '../lib/random.ts'

const attemptsMax = 1000

/**
 * Picks a free 127.a.b.c: `a` follows from the home's path, so that two homes of a host seldom meet; `b` and `c` are
 * random. 127.0.x.x (the host's own services), 127.127.x.x and 127.x.x.1 are left alone.
 *
 * In use is what `taken` holds, and every address on which some program of this host listens now. (Trying to bind a
 * port tells less: a server on 0.0.0.0 makes all addresses look taken, and a free port hides a busy neighbour.)
 */
export async function allocateLoopback(home: string, taken: ReadonlySet<string>, random: Random): Promise<string> {
  const listening = await listeningAddresses()
  const block = homeBlock(home)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const address = `127.${block}.${randomInt(random, 256)}.${2 + randomInt(random, 253)}`
    if (!taken.has(address) && !listening.has(address)) return address
  }
  throw new Error(`no free public address found in 127.${block}.0.0/16 after ${attemptsMax} attempts`)
}

/** The second number of a home's addresses: 1 to 254 but 127. */
export function homeBlock(home: string): number {
  const block = 1 + (createHash('sha256').update(home).digest().readUInt32BE(0) % 253)
  return block < 127 ? block : block + 1
}

/** Local addresses of all listening TCP sockets, from /proc/net/tcp; empty on systems without it. */
async function listeningAddresses(): Promise<Set<string>> {
  const table = await readFile('/proc/net/tcp', 'utf8').catch(() => '')
  const addresses = new Set<string>()
  for (const line of table.split('\n').slice(1)) {
    const [, local, , state] = line.trim().split(/\s+/)
    if (state !== listenState || !local) continue
    // The address is a host-order number in hexadecimal: on the little-endian machines that we run on, bytes backwards.
    const bytes = local.slice(0, 8).match(/../g) ?? []
    addresses.add(
      bytes
        .reverse()
        .map((byte) => Number.parseInt(byte, 16))
        .join('.'),
    )
  }
  return addresses
}

const listenState = '0A'
