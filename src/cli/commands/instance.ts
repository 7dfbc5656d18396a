import type { Command } from 'commander'
import { daemonOf } from '../daemon.ts'
import { accountOption, homeOption, jsonOption, regionOption } from '../options.ts'
import { print, printJson, state, table, time } from '../render.ts'

interface InstanceListFlags {
  home: string
  region: string
  account: string
  json?: boolean
}

export function addInstances(program: Command): void {
  const instance = program.command('instance').description('instances')
  instance
    .command('list')
    .description("the account's instances in a region")
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(list)
}

async function list(flags: InstanceListFlags): Promise<void> {
  const page = await daemonOf(flags.home)
  const { credentialsFor, Ec2Client } = await import('../client.ts')
  const ec2 = new Ec2Client({ ...page, region: flags.region, credentials: credentialsFor(page, flags.account) })
  const reservations = await ec2.all('DescribeInstances', { MaxResults: 1000 }, (answer) => answer.Reservations)
  const instances = reservations.flatMap((reservation) => reservation.Instances ?? [])
  if (flags.json) return printJson(instances)
  const rows = instances.map((instance) => [
    instance.InstanceId,
    instance.Tags?.find((tag) => tag.Key === 'Name')?.Value,
    state(instance.State?.Name),
    instance.InstanceType,
    instance.ImageId,
    instance.PublicIpAddress,
    instance.PrivateIpAddress,
    time(instance.LaunchTime),
  ])
  const headings = ['instance', 'name', 'state', 'type', 'image', 'public', 'private', 'launched (UTC)']
  print(table(headings, rows, `No instances in ${flags.region}.`))
}
