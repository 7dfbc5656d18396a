/** Entries of prefix lists as requests word them. Source: "Prefix list rules" in the VPC user guide. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { PrefixListEntry } from '../../state/prefix-lists.ts'
import { canonicalIpv4, canonicalIpv6 } from './rule-terms.ts'

export type AddressFamily = 'IPv4' | 'IPv6'

const descriptionMax = 255
const nameMax = 255

/** With the blocks in their canonical form. Throws InvalidParameterValue. */
export function readEntries(entries: readonly PrefixListEntry[], family: AddressFamily): PrefixListEntry[] {
  if (entries.length > limits.prefixListEntriesPerRequest) {
    throw new KilnError(
      'InvalidParameterValue',
      `A request can have at most ${limits.prefixListEntriesPerRequest} entries (Entries)`,
    )
  }
  const read = entries.map(({ cidr, description }) => ({ cidr: readBlock(cidr, family), description }))
  const repeated = read.find(({ cidr }, index) => read.findIndex((one) => one.cidr === cidr) !== index)
  if (repeated) throw new KilnError('InvalidParameterValue', `The entry ${repeated.cidr} (Cidr) is given twice`)
  const long = read.find(({ description }) => (description?.length ?? 0) > descriptionMax)
  if (long) {
    throw new KilnError(
      'InvalidParameterValue',
      `The Description of entry ${long.cidr} is longer than ${descriptionMax} characters`,
    )
  }
  return read
}

export function readBlock(cidr: string, family: AddressFamily): string {
  return family === 'IPv4' ? canonicalIpv4(cidr) : canonicalIpv6(cidr)
}

export function checkName(name: string): void {
  if (name.length > 0 && name.length <= nameMax && !/^com\.amazonaws/i.test(name)) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${name.slice(0, 100)}) for parameter PrefixListName is invalid. A name has at most ${nameMax} characters and does not begin with com.amazonaws`,
  )
}

export function checkMaxEntries(maxEntries: number): void {
  if (maxEntries >= 1 && maxEntries <= limits.prefixListEntries) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${maxEntries}) for parameter MaxEntries is invalid. It must be from 1 to ${limits.prefixListEntries}.`,
  )
}

export function refuseTooManyEntries(count: number, maxEntries: number): void {
  if (count <= maxEntries) return
  throw new KilnError(
    'PrefixListMaxEntriesExceeded',
    `The prefix list would have ${count} entries, and its maximum (MaxEntries) is ${maxEntries}.`,
  )
}
