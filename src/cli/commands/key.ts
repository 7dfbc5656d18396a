import { type Command, Option } from 'commander'
import { control, daemonOf } from '../daemon.ts'
import { homeOption, jsonOption, readAccount } from '../options.ts'
import { print, printJson, table, time } from '../render.ts'

interface AccessKey {
  id: string
  accountId: string
  description: string
  createdAt: number
}

export function addKeys(program: Command): void {
  const key = program.command('key').description('access keys for --auth verify')
  key
    .command('create')
    .description('make a key; its secret is shown this once')
    .addOption(new Option('--account <digits>', 'whose key').argParser(readAccount).makeOptionMandatory())
    .option('--description <text>', 'what it is for', '')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(create)
  key.command('list').description('all keys').addOption(homeOption()).addOption(jsonOption()).action(list)
  key
    .command('delete')
    .description('make a key worthless')
    .argument('<id>', 'the access key id')
    .addOption(homeOption())
    .action(remove)
}

async function create(flags: { home: string; account: string; description: string; json?: boolean }): Promise<void> {
  const wish = new URLSearchParams({ account: flags.account, description: flags.description })
  const page = await daemonOf(flags.home)
  const key = await control<AccessKey & { secret: string }>(page, `/_kiln/keys?${wish}`, 'POST')
  if (flags.json) return printJson(key)
  print(`export AWS_ACCESS_KEY_ID=${key.id}`)
  print(`export AWS_SECRET_ACCESS_KEY=${key.secret}`)
}

async function list(flags: { home: string; json?: boolean }): Promise<void> {
  const keys = await control<AccessKey[]>(await daemonOf(flags.home), '/_kiln/keys')
  if (flags.json) return printJson(keys)
  const rows = keys.map((key) => [key.id, key.accountId, time(key.createdAt), key.description])
  print(table(['key', 'account', 'created (UTC)', 'description'], rows, "No keys. Make one with 'kiln key create'."))
}

async function remove(id: string, flags: { home: string }): Promise<void> {
  await control(await daemonOf(flags.home), `/_kiln/keys/${encodeURIComponent(id)}`, 'DELETE')
  print(`${id} is deleted`)
}
