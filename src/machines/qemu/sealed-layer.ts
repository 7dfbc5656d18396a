/**
 * An empty qcow2 file whose clusters are sealed by LUKS, written without QEMU's help (see luks-header.ts for why).
 * Source: QEMU's "Qcow2 Image File Format", version 3.
 *
 * Its table of clusters has room for the largest volume there is, as a hole of at most 1 MiB. So it grows by its size
 * alone, and whoever grows it needs no key.
 */
import { open } from 'node:fs/promises'
import { limits } from '../../lib/limits.ts'
import type { Random } from '../../lib/random.ts'
import type { DiskKey } from '../driver.ts'
import { passphraseOf } from './disk-secrets.ts'
import { createLuksHeader } from './luks-header.ts'

export const clusterBits = 16
const clusterBytes = 1 << clusterBits
const gib = 1024 ** 3
/** An entry of the first table leads to a cluster full of entries, of 8 bytes each. */
const bytesPerEntry = clusterBytes * (clusterBytes / 8)
const tableEntries = (limits.volumeGibMax * gib) / bytesPerEntry

const magic = 0x514649fb
const sealedByLuks = 2
const extensionOfLuks = 0x0537be77
/** Where the fields end and the extensions begin. */
const fieldsBytes = 104
const sizeAt = 24
const tableEntriesAt = 36

/** The file must not be there. Neither it nor its folder is flushed. */
export async function writeSealedLayer(path: string, sizeBytes: number, key: DiskKey, random: Random): Promise<void> {
  checkSize(sizeBytes)
  const luks = await createLuksHeader(passphraseOf(key), random)
  const header = 0
  const refcountTable = 1
  const refcounts = 2
  const luksHeader = 3
  const table = luksHeader + Math.ceil(luks.lengthBytes / clusterBytes)
  const clusters = table + Math.ceil((tableEntries * 8) / clusterBytes)

  const fields = Buffer.alloc(fieldsBytes + 8 + 16 + 8)
  fields.writeUInt32BE(magic, 0)
  fields.writeUInt32BE(3, 4)
  fields.writeUInt32BE(clusterBits, 20)
  fields.writeBigUInt64BE(BigInt(sizeBytes), sizeAt)
  fields.writeUInt32BE(sealedByLuks, 32)
  fields.writeUInt32BE(tableEntries, tableEntriesAt)
  fields.writeBigUInt64BE(offsetOf(table), 40)
  fields.writeBigUInt64BE(offsetOf(refcountTable), 48)
  fields.writeUInt32BE(1, 56)
  // Counts of 2 to the 4th bits.
  fields.writeUInt32BE(4, 96)
  fields.writeUInt32BE(fieldsBytes, 100)
  fields.writeUInt32BE(extensionOfLuks, fieldsBytes)
  fields.writeUInt32BE(16, fieldsBytes + 4)
  fields.writeBigUInt64BE(offsetOf(luksHeader), fieldsBytes + 8)
  fields.writeBigUInt64BE(BigInt(luks.lengthBytes), fieldsBytes + 16)

  const counts = Buffer.alloc(clusters * 2)
  for (let cluster = 0; cluster < clusters; cluster += 1) counts.writeUInt16BE(1, cluster * 2)
  const toCounts = Buffer.alloc(8)
  toCounts.writeBigUInt64BE(offsetOf(refcounts))

  const file = await open(path, 'wx', 0o600)
  try {
    await file.truncate(clusters * clusterBytes)
    await file.write(toCounts, 0, toCounts.length, refcountTable * clusterBytes)
    await file.write(counts, 0, counts.length, refcounts * clusterBytes)
    await file.write(luks.bytes, 0, luks.bytes.length, luksHeader * clusterBytes)
    await file.write(fields, 0, fields.length, header * clusterBytes)
  } finally {
    await file.close()
  }
}

/** Nobody may have the file open. Nothing happens when it has that size. */
export async function growSealedLayer(path: string, sizeBytes: number): Promise<void> {
  checkSize(sizeBytes)
  const file = await open(path, 'r+')
  try {
    const fields = Buffer.alloc(fieldsBytes)
    const { bytesRead } = await file.read(fields, 0, fieldsBytes, 0)
    const isOurs =
      bytesRead === fieldsBytes && fields.readUInt32BE(0) === magic && fields.readUInt32BE(32) === sealedByLuks
    if (!isOurs || fields.readUInt32BE(tableEntriesAt) < tableEntries)
      throw new Error(`${path} is no sealed layer of Kiln's`)
    if (fields.readBigUInt64BE(sizeAt) >= BigInt(sizeBytes)) return
    const size = Buffer.alloc(8)
    size.writeBigUInt64BE(BigInt(sizeBytes))
    await file.write(size, 0, size.length, sizeAt)
    await file.sync()
  } finally {
    await file.close()
  }
}

function checkSize(sizeBytes: number): void {
  const isPossible = Number.isInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0
  if (!isPossible || sizeBytes > limits.volumeGibMax * gib) throw new Error(`a disk cannot have ${sizeBytes} bytes`)
}

const offsetOf = (cluster: number) => BigInt(cluster) * BigInt(clusterBytes)
