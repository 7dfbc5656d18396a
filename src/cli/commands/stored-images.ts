/** Images as single objects in S3, and back. The work is the daemon's: leaving the command does not end it. */
import type { Command } from 'commander'
import { systemClock } from '../../lib/clock.ts'
import type { Ec2Client } from '../client.ts'
import { daemonOf } from '../daemon.ts'
import { showLine } from '../jobs.ts'
import { accountOption, homeOption, jsonOption, readImageId, regionOption } from '../options.ts'
import { print, printJson } from '../render.ts'

const pollMs = 300

interface StoreFlags {
  home: string
  region: string
  account: string
  json?: boolean
}

interface RestoreFlags extends StoreFlags {
  name?: string
}

export function addStoredImages(image: Command): void {
  image
    .command('store')
    .description('store an image as one object in a bucket, from which any Kiln restores it')
    .argument('<image>', 'ami-… with 17 digits', readImageId)
    .argument('<bucket>', 'a bucket in the same region')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(store)
  image
    .command('restore')
    .description('make an image of an object that an image was stored as')
    .argument('<bucket>')
    .argument('<key>', 'ami-….bin')
    .option('--name <name>', 'what the image is called (default: what the stored one was called)')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(restore)
}

async function clientOf(flags: StoreFlags): Promise<Ec2Client> {
  const page = await daemonOf(flags.home)
  const { credentialsFor, Ec2Client } = await import('../client.ts')
  return new Ec2Client({ ...page, region: flags.region, credentials: credentialsFor(page, flags.account) })
}

async function store(imageId: string, bucket: string, flags: StoreFlags): Promise<void> {
  const ec2 = await clientOf(flags)
  const { ObjectKey: key } = await ec2.call('CreateStoreImageTask', { ImageId: imageId, Bucket: bucket })
  for (;;) {
    const { StoreImageTaskResults: tasks } = await ec2.call('DescribeStoreImageTasks', { ImageIds: [imageId] })
    const task = tasks?.find((one) => one.Bucket === bucket)
    if (task?.StoreTaskState === 'Completed') break
    if (task?.StoreTaskState === 'Failed') throw new Error(task.StoreTaskFailureReason ?? `${imageId} was not stored`)
    showLine(`storing ${imageId} … ${task?.ProgressPercentage ?? 0}%`)
    await systemClock.sleep(pollMs)
  }
  showLine('')
  if (flags.json) return printJson({ imageId, bucket, key })
  print(`s3://${bucket}/${key}: ${imageId}`)
}

async function restore(bucket: string, key: string, flags: RestoreFlags): Promise<void> {
  const ec2 = await clientOf(flags)
  const { ImageId: imageId } = await ec2.call('CreateRestoreImageTask', {
    Bucket: bucket,
    ObjectKey: key,
    Name: flags.name,
  })
  let name: string | undefined
  for (;;) {
    const { Images: images } = await ec2.call('DescribeImages', { ImageIds: [imageId!] })
    const image = images![0]!
    name = image.Name
    if (image.State === 'available') break
    if (image.State !== 'pending') throw new Error(image.StateReason?.Message ?? `${imageId} is ${image.State}`)
    const ids = image.BlockDeviceMappings?.flatMap((device) => device.Ebs?.SnapshotId ?? []) ?? []
    const { Snapshots: snapshots } = await ec2.call('DescribeSnapshots', { SnapshotIds: ids })
    showLine(`restoring ${imageId} … ${snapshots?.[0]?.Progress ?? '0%'}`)
    await systemClock.sleep(pollMs)
  }
  showLine('')
  if (flags.json) return printJson({ imageId, name, bucket, key })
  print(`${imageId}: ${name}, of s3://${bucket}/${key}`)
}
