/** Images of bundles that lie in S3. The work is the daemon's: leaving the command does not end it. */
import { basename } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../../lib/clock.ts'
import { daemonOf } from '../daemon.ts'
import { showLine } from '../jobs.ts'
import { accountOption, homeOption, jsonOption, regionOption } from '../options.ts'
import { print, printJson } from '../render.ts'

const pollMs = 300

interface RegisterFlags {
  home: string
  region: string
  account: string
  name?: string
  json?: boolean
}

export function addBundledImages(image: Command): void {
  image
    .command('register')
    .description('make an image of a bundle in a bucket, and wait until all of it was proved')
    .argument('<location>', 'BUCKET/PREFIX/NAME.manifest.xml')
    .option('--name <name>', 'what the image is called (default: as the bundle)')
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(accountOption())
    .addOption(jsonOption())
    .action(register)
}

async function register(location: string, flags: RegisterFlags): Promise<void> {
  const page = await daemonOf(flags.home)
  const { credentialsFor, Ec2Client } = await import('../client.ts')
  const ec2 = new Ec2Client({ ...page, region: flags.region, credentials: credentialsFor(page, flags.account) })
  const name = flags.name ?? basename(location, '.manifest.xml')
  const { ImageId: imageId } = await ec2.call('RegisterImage', { Name: name, ImageLocation: location })
  for (;;) {
    const { Images: images } = await ec2.call('DescribeImages', { ImageIds: [imageId!] })
    const { State: state, StateReason: reason } = images![0]!
    if (state === 'available') break
    if (state !== 'pending') throw new Error(`${imageId} is ${state}: ${reason?.Message ?? 'nobody says why'}`)
    showLine(`proving ${location} …`)
    await systemClock.sleep(pollMs)
  }
  showLine('')
  if (flags.json) return printJson({ imageId, name, location })
  print(`${imageId}: ${name}, of s3://${location.replace(/^(s3:\/\/|\/)/, '')}`)
}
