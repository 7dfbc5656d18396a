/** Reads through the block server against the same reads of a local qcow2, by the same client over a unix socket. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eachAtOnce } from '../../src/blocks/concurrency.ts'
import { connectNbd } from '../../src/blocks/nbd/client.ts'
import type { CaptureSource } from '../../src/blocks/ports.ts'
import { endProcess, type ProcessRef, run } from '../../src/lib/programs.ts'
import { seededRandom } from '../../src/lib/random.ts'
import { compare } from './compare.ts'
import { dataBytes, type Lab, mibBytes } from './lab.ts'

const sequential = { bytes: 256 * 1024, atOnce: 4 }
const random = { bytes: 4096, atOnce: 16, reads: 20_000 }
/** Random reads stay in a part that the block server keeps in memory, once it was read. */
const hotBytes = 192 * mibBytes
const volumeId = 'vol-0123456789abcdef0'

export async function benchReads(lab: Lab, region: string, root: string, say: (line: string) => void): Promise<void> {
  const local = await lab.disks.openForReading({ base: null, layers: [lab.disk], key: null }, dataBytes)
  const served = () => lab.blocks.serve({ region, root, volumeId })
  /** The server's memory is empty; what the disk's cache holds stays, for both. */
  const anew = async () => {
    const { pid, startTicks } = JSON.parse(await readFile(join(lab.runDir, 'blocks.sock.pid'), 'utf8')) as ProcessRef
    await endProcess({ pid, startTicks })
    await served()
  }
  try {
    await served()
    say(`sequential, ${sequential.bytes / 1024} KiB, ${sequential.atOnce} at once, the whole disk:`)
    await compare(say, [
      { label: 'block server, cold', run: async () => readAll(await served()), tidy: anew },
      { label: 'local qcow2', run: () => readAll(local) },
    ])
    say(`the same by QEMU's own reader:`)
    await compare(say, [
      { label: 'block server, cold', run: async () => qemuReads(await served()), tidy: anew },
      { label: 'local qcow2', run: () => qemuReads(local) },
    ])
    say(`random, ${random.bytes / 1024} KiB, ${random.atOnce} at once, ${random.reads} reads:`)
    await compare(say, [
      { label: 'block server, cold', run: async () => readAtRandom(await served(), dataBytes), tidy: anew },
      { label: 'local qcow2', run: () => readAtRandom(local, dataBytes) },
    ])
    say(`the same within ${hotBytes / mibBytes} MiB that were read before:`)
    await readAtRandom(await served(), hotBytes)
    await compare(say, [
      { label: 'block server, warm', run: async () => readAtRandom(await served(), hotBytes) },
      { label: 'local qcow2', run: () => readAtRandom(local, hotBytes) },
    ])
  } finally {
    await local.close()
  }
}

async function readAll(source: CaptureSource): Promise<void> {
  const offsets = Array.from({ length: dataBytes / sequential.bytes }, (_, index) => index * sequential.bytes)
  await readEach(source, offsets, sequential)
}

async function readAtRandom(source: CaptureSource, withinBytes: number): Promise<void> {
  const chance = seededRandom(7)
  const offsets = Array.from(
    { length: random.reads },
    () => (chance.bytes(4).readUInt32LE() % (withinBytes / random.bytes)) * random.bytes,
  )
  await readEach(source, offsets, random)
}

async function readEach(
  source: CaptureSource,
  offsets: readonly number[],
  { bytes, atOnce }: { bytes: number; atOnce: number },
): Promise<void> {
  const client = await connectNbd({ ...source, contexts: [] })
  try {
    const buffers = Array.from({ length: atOnce }, () => Buffer.allocUnsafeSlow(bytes))
    await eachAtOnce(offsets, atOnce, async (offset) => {
      const buffer = buffers.pop()!
      await client.readInto(buffer, offset)
      buffers.push(buffer)
    })
  } finally {
    await client.close()
  }
}

async function qemuReads({ socketPath, exportName }: CaptureSource): Promise<void> {
  const node = { driver: 'nbd', server: { type: 'unix', path: socketPath }, export: exportName }
  const [count, size] = [dataBytes / sequential.bytes, sequential.bytes]
  const options = ['-U', '-c', String(count), '-s', String(size), '-d', String(sequential.atOnce), '-t', 'none']
  await run('qemu-img', ['bench', ...options, `json:${JSON.stringify(node)}`], { timeoutMs: 600_000 })
}
