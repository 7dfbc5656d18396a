import type { Image } from '@aws-sdk/client-ec2'
import type { Command } from 'commander'
import { daemonOf } from '../daemon.ts'
import { runJob } from '../jobs.ts'
import { accountOption, homeOption, jsonOption, readImageId, regionOption } from '../options.ts'
import { counted, print, printJson, size, state, table, time } from '../render.ts'
import { addBundledImages } from './bundled-images.ts'
import { addImageBuild } from './image-build.ts'
import { addImageTransfers } from './image-files.ts'
import { addImagePull } from './image-pull.ts'
import { addStoredImages } from './stored-images.ts'

interface ImageListFlags {
  home: string
  region: string
  account: string
  owner?: string[]
  json?: boolean
}

interface CostFlags {
  home: string
  region: string
  json?: boolean
}

interface ImageCost {
  imageId: string
  name: string
  region: string
  snapshots: {
    snapshotId: string
    deviceNames: string[]
    dataBytes: number
    storedBytes: number
    uniqueBytes: number
    sharedBytes: number
    sharedWith: { snapshots: number; volumes: number }
    staysBecause: string | null
  }[]
  freedBytes: number
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
  image
    .command('cost')
    .description('what the snapshots of an image take, and what deregistering it with them would free')
    .argument('<image>', 'ami-… with 17 digits', readImageId)
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(cost)
  addImageTransfers(image)
  addImagePull(image)
  addImageBuild(image)
  addStoredImages(image)
  addBundledImages(image)
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
    image.RootDeviceType,
    volumesOf(image) || null,
    time(image.CreationDate),
  ])
  const headings = ['image', 'name', 'state', 'owner', 'root', 'volumes', 'created (UTC)']
  print(table(headings, rows, `No images in ${flags.region}.`))
}

const volumesOf = ({ BlockDeviceMappings: devices = [] }: Image): string =>
  devices.flatMap(({ Ebs: ebs }) => (ebs?.VolumeSize ? `${ebs.VolumeSize} GiB` : [])).join(' + ')

async function cost(id: string, flags: CostFlags): Promise<void> {
  const path = `/_kiln/images/${id}/cost?${new URLSearchParams({ region: flags.region })}`
  const image = await runJob<ImageCost>(await daemonOf(flags.home), path, 'measuring')
  if (flags.json) return printJson(image)
  const rows = image.snapshots.map((snapshot) => [
    snapshot.snapshotId,
    snapshot.deviceNames.join(', '),
    size(snapshot.dataBytes),
    size(snapshot.storedBytes),
    size(snapshot.uniqueBytes),
    size(snapshot.sharedBytes),
    sharers(snapshot.sharedWith),
  ])
  const headings = ['snapshot', 'device', 'data', 'stored', 'its own', 'shared', 'with']
  print(table(headings, rows, `${image.imageId} has no completed snapshot.`))
  for (const { snapshotId, staysBecause } of image.snapshots)
    if (staysBecause) print(`${snapshotId} would stay: ${staysBecause}.`)
  print(`Deregistering ${id} with its snapshots would free ${size(image.freedBytes)} (${image.freedBytes} bytes).`)
}

function sharers({ snapshots, volumes }: { snapshots: number; volumes: number }): string {
  const named = [snapshots && counted(snapshots, 'snapshot'), volumes && counted(volumes, 'volume')]
  return named.filter(Boolean).join(', ') || '-'
}
