/** The checksums that S3 keeps with objects. Source: "Checking object integrity for data uploads in Amazon S3". */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'
import type { ObjectChecksum } from './object-facts.ts'

interface RunningChecksum {
  update(piece: Uint8Array): void
  /** Once, at the end. */
  digest(): Promise<Buffer>
}

interface Algorithm {
  digestBytes: number
  start(): RunningChecksum
  /** Of a CRC: its polynomial with the bits in reverse, which lets the CRCs of parts be put together. */
  polynomial?: bigint
}

export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256'

export const checksumAlgorithms: Readonly<Record<ChecksumAlgorithm, Algorithm>> = {
  CRC32: { digestBytes: 4, start: () => new NativeCrc32(), polynomial: 0xedb88320n },
  CRC32C: { digestBytes: 4, start: () => wrapped(new Crc32c()), polynomial: 0x82f63b78n },
  CRC64NVME: { digestBytes: 8, start: () => wrapped(new Crc64Nvme()), polynomial: 0x9a6c9329ac4bc9b5n },
  SHA1: { digestBytes: 20, start: () => hashing('sha1') },
  SHA256: { digestBytes: 32, start: () => hashing('sha256') },
}

export function isChecksumAlgorithm(text: string): text is ChecksumAlgorithm {
  return Object.hasOwn(checksumAlgorithms, text)
}

/** Whether the text is a checksum of that kind, in base64. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, text: string): boolean {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === checksumAlgorithms[algorithm].digestBytes && bytes.toString('base64') === text
}

/** What becomes of the checksums of parts unless the upload says otherwise. */
export function usualType(algorithm: ChecksumAlgorithm): ObjectChecksum['type'] {
  return algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE'
}

/** CRC64NVME is of full objects alone, and what is no CRC cannot be put together from parts. */
export function isPossibleType(algorithm: ChecksumAlgorithm, type: ObjectChecksum['type']): boolean {
  return type === 'COMPOSITE' ? algorithm !== 'CRC64NVME' : checksumAlgorithms[algorithm].polynomial !== undefined
}

/** The checksum of an object out of those of its parts, in order. */
export async function checksumOfParts(
  algorithm: ChecksumAlgorithm,
  type: ObjectChecksum['type'],
  parts: readonly { value: string; sizeBytes: number }[],
): Promise<ObjectChecksum> {
  const { polynomial, start, digestBytes } = checksumAlgorithms[algorithm]
  if (type === 'FULL_OBJECT') {
    let crc = 0n
    for (const { value, sizeBytes } of parts) {
      const next = BigInt(`0x${Buffer.from(value, 'base64').toString('hex')}`)
      crc = shifted(crc, sizeBytes, polynomial!, digestBytes * 8) ^ next
    }
    const hexadecimal = crc.toString(16).padStart(digestBytes * 2, '0')
    return { algorithm, type, value: Buffer.from(hexadecimal, 'hex').toString('base64') }
  }
  const running = start()
  for (const { value } of parts) running.update(Buffer.from(value, 'base64'))
  return { algorithm, type, value: `${(await running.digest()).toString('base64')}-${parts.length}` }
}

class NativeCrc32 implements RunningChecksum {
  #value = 0

  update(piece: Uint8Array): void {
    this.#value = crc32(piece, this.#value)
  }

  async digest(): Promise<Buffer> {
    const digest = Buffer.alloc(4)
    digest.writeUInt32BE(this.#value)
    return digest
  }
}

function wrapped(checksum: { update(piece: Uint8Array): void; digest(): Promise<Uint8Array> }): RunningChecksum {
  return { update: (piece) => checksum.update(piece), digest: async () => Buffer.from(await checksum.digest()) }
}

function hashing(name: string): RunningChecksum {
  const hash = createHash(name)
  return { update: (piece) => void hash.update(piece), digest: async () => hash.digest() }
}

/**
 * The CRC as it is before so many more bytes come: the CRC times x^(8·bytes), in polynomials over two elements with the
 * bits in reverse. A CRC's start and end values cancel out when the next part's CRC is added.
 */
function shifted(crc: bigint, bytes: number, polynomial: bigint, width: number): bigint {
  const one = 1n << BigInt(width - 1)
  let power = one >> 8n
  let factor = one
  for (let count = bytes; count > 0; count = Math.floor(count / 2)) {
    if (count % 2 === 1) factor = times(factor, power, polynomial, one)
    power = times(power, power, polynomial, one)
  }
  return times(crc, factor, polynomial, one)
}

function times(a: bigint, b: bigint, polynomial: bigint, one: bigint): bigint {
  let product = 0n
  let shiftedB = b
  for (let bit = one; bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= shiftedB
    shiftedB = shiftedB & 1n ? (shiftedB >> 1n) ^ polynomial : shiftedB >> 1n
  }
  return product
}
