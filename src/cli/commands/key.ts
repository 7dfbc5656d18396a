import { type Command, Option } from 'commander'
import { control, daemonOf } from '../daemon.ts'
import { homeOption, jsonOption, readAccount, regionOption } from '../options.ts'
import { print, printJson, table, time } from '../render.ts'
import { addEncryptionKeys, createEncryptionKey, encryptionKeysOf } from './encryption-key.ts'

interface AccessKey {
  id: string
  accountId: string
  description: string
  createdAt: number
}

/** Whom commands act as when nobody is named. */
const accountWithoutKey = '000000000000'

export function addKeys(program: Command): void {
  const key = program.command('key').description('access keys for --auth verify, and encryption keys')
  key
    .command('create')
    .description('make an access key, whose secret is shown this once; or, with --encryption, an encryption key')
    .addOption(new Option('--account <digits>', 'whose key').argParser(readAccount))
    .option('--description <text>', 'what it is for', '')
    .option('--encryption', 'make a key that volumes, snapshots and images can be encrypted with')
    .option('--alias <name>', 'a name for the encryption key')
    .addOption(regionOption())
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(create)
  key
    .command('list')
    .description('all keys, of both kinds')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(list)
  key
    .command('delete')
    .description('make a key worthless')
    .argument('<id>', 'the access key id')
    .addOption(homeOption())
    .action(remove)
  addEncryptionKeys(key)
}

interface CreateFlags {
  home: string
  account?: string
  description: string
  encryption?: boolean
  alias?: string
  region: string
  json?: boolean
}

async function create(flags: CreateFlags, command: Command): Promise<void> {
  const { account, encryption, alias, description } = flags
  if (encryption) return await createEncryptionKey({ ...flags, account: account ?? accountWithoutKey })
  if (alias !== undefined) command.error('error: --alias is for encryption keys: add --encryption', { exitCode: 2 })
  if (account === undefined) {
    return command.error("error: required option '--account <digits>' not specified", { exitCode: 2 })
  }
  const wish = new URLSearchParams({ account, description })
  const page = await daemonOf(flags.home)
  const key = await control<AccessKey & { secret: string }>(page, `/_kiln/keys?${wish}`, 'POST')
  if (flags.json) return printJson(key)
  print(`export AWS_ACCESS_KEY_ID=${key.id}`)
  print(`export AWS_SECRET_ACCESS_KEY=${key.secret}`)
}

async function list(flags: { home: string; json?: boolean }): Promise<void> {
  const accessKeys = await control<AccessKey[]>(await daemonOf(flags.home), '/_kiln/keys')
  const encryptionKeys = await encryptionKeysOf(flags.home)
  if (flags.json) {
    return printJson([
      ...accessKeys.map((key) => ({ kind: 'access', ...key })),
      ...encryptionKeys.map((key) => ({ kind: 'encryption', ...key })),
    ])
  }
  const rows = [
    ...accessKeys.map((key) => ['access', key.id, key.accountId, '-', '-', time(key.createdAt), key.description]),
    ...encryptionKeys.map((key) => [
      ...['encryption', key.id, key.accountId, key.region, key.state, time(key.createdAt)],
      key.aliases.join(' ') || key.description,
    ]),
  ]
  const headings = ['kind', 'key', 'account', 'region', 'state', 'created (UTC)', 'alias or description']
  print(table(headings, rows, "No keys. Make one with 'kiln key create'."))
}

async function remove(id: string, flags: { home: string }): Promise<void> {
  await control(await daemonOf(flags.home), `/_kiln/keys/${encodeURIComponent(id)}`, 'DELETE')
  print(`${id} is deleted`)
}
