import type { Command } from 'commander'
import { daemonOf } from '../daemon.ts'
import { accountOption, homeOption, jsonOption, regionOption } from '../options.ts'
import { print, printJson, state, table, time } from '../render.ts'

interface ImageListFlags {
  home: string
  region: string
  account: string
  owner?: string[]
  json?: boolean
}

export function addImages(program: Command): void {
  const image = program.command('image').description('images')
  image
    .command('list')
    .description('the images that the account sees in a region')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .option('--owner <owner...>', 'only of these: self, amazon, or an account')
    .addOption(jsonOption())
    .action(list)
}

async function list(flags: ImageListFlags): Promise<void> {
  const page = await daemonOf(flags.home)
  const { credentialsFor, Ec2Client } = await import('../client.ts')
  const ec2 = new Ec2Client({ ...page, region: flags.region, credentials: credentialsFor(page, flags.account) })
  const images = await ec2.all('DescribeImages', { Owners: flags.owner, MaxResults: 1000 }, (answer) => answer.Images)
  if (flags.json) return printJson(images)
  const rows = images.map((image) => [
    image.ImageId,
    image.Name,
    state(image.State),
    image.ImageOwnerAlias ?? image.OwnerId,
    image.BlockDeviceMappings?.flatMap((device) => (device.Ebs?.VolumeSize ? `${device.Ebs.VolumeSize} GiB` : [])).join(
      ' + ',
    ),
    time(image.CreationDate),
  ])
  print(table(['image', 'name', 'state', 'owner', 'volumes', 'created (UTC)'], rows, `No images in ${flags.region}.`))
}
