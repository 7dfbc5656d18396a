/** `kiln key …` for encryption keys: the named keys that seal what is encrypted. */
import type { Command } from 'commander'
import { control, daemonOf } from '../daemon.ts'
import { homeOption, jsonOption, readAccount } from '../options.ts'
import { print, printJson } from '../render.ts'

export interface EncryptionKey {
  id: string
  arn: string
  accountId: string
  region: string
  description: string
  state: 'enabled' | 'disabled'
  isManaged: boolean
  version: number
  createdAt: number
  rotatedAt: number | null
  aliases: string[]
  grantees: string[]
}

const path = '/_kiln/encryption-keys'

interface Flags {
  home: string
  json?: boolean
}

export function addEncryptionKeys(key: Command): void {
  const add = (name: string, description: string) =>
    key
      .command(name)
      .description(description)
      .argument('<key>', "an encryption key: its id, ARN or alias; 'kiln key list' lists them")
  const withOptions = (command: Command) => command.addOption(homeOption()).addOption(jsonOption())
  withOptions(add('rotate', 'seal what is new with a new version of the key')).action((wanted: string, flags: Flags) =>
    change(wanted, 'rotate', flags),
  )
  withOptions(add('disable', 'let the key open nothing, until it is enabled again')).action(
    (wanted: string, flags: Flags) => change(wanted, 'disable', flags),
  )
  withOptions(add('enable', 'let a disabled key be used again')).action((wanted: string, flags: Flags) =>
    change(wanted, 'enable', flags),
  )
  withOptions(add('alias', 'give the key another name').argument('<name>', 'alias/NAME, or NAME alone')).action(
    (wanted: string, name: string, flags: Flags) => change(wanted, `alias?${new URLSearchParams({ name })}`, flags),
  )
  for (const [verb, description] of [
    ['grant', 'let another account use the key, as it must for what it is given of it'],
    ['revoke', 'let another account no longer use the key'],
  ] as const) {
    withOptions(add(verb, description).argument('<account>', '12 digits', readAccount)).action(
      (wanted: string, account: string, flags: Flags) =>
        change(wanted, `${verb}?${new URLSearchParams({ account })}`, flags),
    )
  }
}

export async function createEncryptionKey(
  flags: Flags & { account: string; region: string; alias?: string; description: string },
): Promise<void> {
  const { account, region, alias, description } = flags
  const wish = new URLSearchParams({ account, region, description, ...(alias === undefined ? {} : { alias }) })
  const key = await control<EncryptionKey>(await daemonOf(flags.home), `${path}?${wish}`, 'POST')
  if (flags.json) return printJson(key)
  print(key.arn)
}

export async function encryptionKeysOf(home: string): Promise<EncryptionKey[]> {
  return await control<EncryptionKey[]>(await daemonOf(home), path)
}

async function change(wanted: string, what: string, flags: Flags): Promise<void> {
  const { id } = pick(await encryptionKeysOf(flags.home), wanted)
  const key = await control<EncryptionKey>(await daemonOf(flags.home), `${path}/${id}/${what}`, 'POST')
  if (flags.json) return printJson(key)
  print(
    `${key.arn} is ${key.state}, version ${key.version}${key.aliases.length > 0 ? `, ${key.aliases.join(', ')}` : ''}`,
  )
}

function pick(keys: readonly EncryptionKey[], wanted: string): EncryptionKey {
  const isNamed = (key: EncryptionKey) =>
    [key.id, key.arn, ...key.aliases, ...key.aliases.map((alias) => alias.slice('alias/'.length))].includes(wanted)
  const [found, another] = keys.filter(isNamed)
  if (!found) throw new Error(`there is no encryption key '${wanted}': 'kiln key list' lists them`)
  if (another) throw new Error(`'${wanted}' names several keys, of other accounts or regions: give the key's ARN`)
  return found
}
