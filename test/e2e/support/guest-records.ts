/**
 * A guest that never stops writing: record after record, each numbered, of random content, with its own checksum, and on
 * stable storage before the next one begins. What any later moment's disk holds can be told good from torn by that.
 */
import { createHash } from 'node:crypto'
import type { Fleet } from './fleet.ts'

const recordBytes = 4096
const digits = 10
/** `NUMBER CONTENT SHA256`, the checksum over the number and the content as they stand there. */
const sumAt = recordBytes - 64
/** Base64 of so many bytes fills what number, checksum and their spaces leave. */
const contentBytes = 3015
/** Where the guest notes the last record that is on stable storage; in memory, so it can be late by one, never early. */
const notePath = '/dev/shm/acknowledged'

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** Starts it; it writes each record to all of these disks (`vdb` …), one disk after the other. */
export async function startRecords(fleet: Fleet, instanceId: string, disks: readonly string[]): Promise<void> {
  const script = [
    'i=0',
    'while :; do',
    `  body="$(printf %0${digits}d $i) $(head -c ${contentBytes} /dev/urandom | base64 | tr -d '\\n')"`,
    '  sum=$(printf %s "$body" | sha256sum | cut -c1-64)',
    `  for disk in ${disks.join(' ')}; do`,
    `    printf '%s %s' "$body" "$sum" | dd of=/dev/$disk bs=${recordBytes} seek=$i conv=notrunc,fsync 2>/dev/null || exit 1`,
    '  done',
    '  i=$((i+1))',
    `  echo $i > ${notePath}.new && mv ${notePath}.new ${notePath}`,
    'done',
  ].join('\n')
  const start = `sudo setsid sh -c ${quoted(script)} </dev/null >/dev/null 2>&1 &`
  await fleet.ssh(instanceId, `sudo mkdir -p -m 1777 /dev/shm; ${start} sleep 2`)
}

/** How many records were on stable storage at some moment before this resolves. */
export async function acknowledged(fleet: Fleet, instanceId: string): Promise<number> {
  return Number(await fleet.ssh(instanceId, `cat ${notePath}`))
}

/**
 * The records on a disk from its beginning. Throws when one is torn or missing while anything of a later one is there;
 * looks as far as `upTo` records.
 */
export async function readRecords(fleet: Fleet, instanceId: string, disk: string, upTo: number): Promise<number> {
  // Zeros, as the disk has them where nothing was written, come out as dots.
  const command = `sudo dd if=/dev/${disk} bs=${recordBytes} count=${upTo} 2>/dev/null | tr '\\0' .`
  const text = await fleet.ssh(instanceId, command)
  if (text.length !== recordBytes * upTo) throw new Error(`${disk} gave ${text.length} bytes`)
  for (let number = 0; number < upTo; number++) {
    const record = text.slice(number * recordBytes, (number + 1) * recordBytes)
    if (isRecord(record, number)) continue
    if (/[^.]/.test(text.slice(number * recordBytes)))
      throw new Error(`record ${number} of ${disk} is torn or missing, and something lies there or behind it`)
    return number
  }
  throw new Error(`${disk} holds more than ${upTo} records`)
}

function isRecord(record: string, number: number): boolean {
  const sum = createHash('sha256')
    .update(record.slice(0, sumAt - 1))
    .digest('hex')
  return record.startsWith(`${String(number).padStart(digits, '0')} `) && record.slice(sumAt) === sum
}
