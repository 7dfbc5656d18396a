/**
 * The header of a LUKS volume, version 1, as "LUKS1 On-Disk Format Specification 1.2.3" lays it down: it holds the key
 * that the data are sealed with, locked by a passphrase.
 *
 * QEMU could write it, but first finds out at length how slowly this host can derive keys: 2 s of a core for every layer,
 * which buys nothing where the passphrase is 256 random bits. So we write it, with the fewest rounds that QEMU takes, in
 * some milliseconds. QEMU alone reads it.
 */
import { createCipheriv, hash, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import type { Random } from '../../lib/random.ts'

export interface LuksHeader {
  /** What the header begins with; the rest of it is zeros. */
  bytes: Buffer
  lengthBytes: number
}

const sectorBytes = 512
/** AES-256 in XTS mode takes two keys. */
const keyBytes = 64
const keySlots = 8
/** Into so many parts a slot's key is split, all of which are needed; QEMU takes no other number. */
const stripes = 4000
/** The fewest that QEMU takes. */
const rounds = 1000
/** Slots begin at multiples of this, the first one behind the fields. */
const alignmentSectors = 8
const slotSectors = roundedUp((keyBytes * stripes) / sectorBytes, alignmentSectors)
const payloadSector = alignmentSectors + keySlots * slotSectors

const digestBytes = 32

const slotActive = 0x00ac71f3
const slotInactive = 0x0000dead
const fieldsOfSlots = 208
const fieldsPerSlot = 48

const derive = promisify(pbkdf2)

/** Every header locks another key, one that nobody has seen. */
export async function createLuksHeader(passphrase: string, random: Random): Promise<LuksHeader> {
  const volumeKey = random.bytes(keyBytes)
  const [digestSalt, slotSalt] = [random.bytes(32), random.bytes(32)]
  const [digest, slotKey] = await Promise.all([
    derive(volumeKey, digestSalt, rounds, 20, 'sha256'),
    derive(passphrase, slotSalt, rounds, keyBytes, 'sha256'),
  ])
  const bytes = Buffer.alloc(alignmentSectors * sectorBytes + keyBytes * stripes)
  bytes.write('LUKS\xba\xbe', 0, 'latin1')
  bytes.writeUInt16BE(1, 6)
  bytes.write('aes', 8)
  bytes.write('xts-plain64', 40)
  bytes.write('sha256', 72)
  bytes.writeUInt32BE(payloadSector, 104)
  bytes.writeUInt32BE(keyBytes, 108)
  digest.copy(bytes, 112)
  digestSalt.copy(bytes, 132)
  bytes.writeUInt32BE(rounds, 164)
  bytes.write(uuid(random), 168)
  for (let slot = 0; slot < keySlots; slot += 1) {
    const at = fieldsOfSlots + slot * fieldsPerSlot
    bytes.writeUInt32BE(slot === 0 ? slotActive : slotInactive, at)
    bytes.writeUInt32BE(slot === 0 ? rounds : 0, at + 4)
    if (slot === 0) slotSalt.copy(bytes, at + 8)
    bytes.writeUInt32BE(alignmentSectors + slot * slotSectors, at + 40)
    bytes.writeUInt32BE(stripes, at + 44)
  }
  const parts = split(volumeKey, random)
  seal(parts, slotKey).copy(bytes, alignmentSectors * sectorBytes)
  return { bytes, lengthBytes: payloadSector * sectorBytes }
}

/** The key in so many parts that whoever lacks a bit of any of them has nothing ("anti-forensic split"). */
function split(key: Buffer, random: Random): Buffer {
  const parts = Buffer.concat([random.bytes(keyBytes * (stripes - 1)), key])
  const sum = Buffer.alloc(keyBytes)
  for (let part = 0; part < stripes - 1; part += 1) {
    mix(sum, parts.subarray(part * keyBytes, (part + 1) * keyBytes))
    diffuse(sum)
  }
  mix(parts.subarray(keyBytes * (stripes - 1)), sum)
  return parts
}

/** Every piece of the block becomes the hash of its number and itself. */
function diffuse(block: Buffer): void {
  for (let index = 0; index < keyBytes / digestBytes; index += 1) {
    const piece = block.subarray(index * digestBytes, (index + 1) * digestBytes)
    hash('sha256', Buffer.concat([Buffer.of(0, 0, 0, index), piece]), 'buffer').copy(piece)
  }
}

function mix(into: Buffer, other: Buffer): void {
  for (let at = 0; at < keyBytes; at += 1) into[at]! ^= other[at]!
}

/** `plain64`: each sector by its own number, which here counts from the start of the slot. */
function seal(plain: Buffer, key: Buffer): Buffer {
  const sectors = Array.from({ length: plain.length / sectorBytes }, (_, sector) => {
    const tweak = Buffer.alloc(16)
    tweak.writeBigUInt64LE(BigInt(sector))
    const cipher = createCipheriv('aes-256-xts', key, tweak)
    return cipher.update(plain.subarray(sector * sectorBytes, (sector + 1) * sectorBytes))
  })
  return Buffer.concat(sectors)
}

function uuid(random: Random): string {
  const hex = random.bytes(16).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function roundedUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
