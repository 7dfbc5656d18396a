/** Fifty launches from one image: what an instance takes on the disk, and how many begin in a second. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeVolumesCommand,
  EC2Client,
  RunInstancesCommand,
} from '@aws-sdk/client-ec2'
import { buildKilnLinux } from '../../src/builder/kiln-linux/build.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { defaultHome, homeAt } from '../../src/lib/home.ts'
import { run } from '../../src/lib/programs.ts'
import { type Fleet, prepareFleet } from '../../test/e2e/support/fleet.ts'
import { type RunningKiln, startKiln } from '../../test/e2e/support/kiln.ts'
import { median, mib, timed } from '../report.ts'
import { compare } from './compare.ts'
import { flushed } from './lab.ts'

const launches = 50
const realLaunches = 4

/** With simulated machines everything is real but the guests: rows, files, blocks, operations. */
export async function benchLaunches(say: (line: string) => void): Promise<void> {
  const kiln = await startKiln({ machines: 'simulated' })
  const folder = await mkdtemp(join(tmpdir(), 'kiln-bench-'))
  const credentials = { accessKeyId: '111122223333', secretAccessKey: 'any' }
  const ec2 = new EC2Client({ endpoint: kiln.url, region: 'us-east-1', credentials })
  try {
    const image = await buildKilnLinux({ cacheDir: homeAt(defaultHome()).cacheDir })
    const { Images: images } = await ec2.send(
      new DescribeImagesCommand({ Owners: ['amazon'], Filters: [{ Name: 'root-device-type', Values: ['ebs'] }] }),
    )
    const bytes: number[] = []
    let copies = 0
    const [ms] = await compare(say, [
      {
        label: `${launches} launches, RunInstances to all running`,
        run: async () => {
          const ids = await launchAll(ec2, images![0]!.ImageId!)
          bytes.push(...(await bytesOf(kiln, ec2, ids.slice(0, 5))))
        },
      },
      {
        label: `${launches} copies of the image's file`,
        run: async () => {
          for (let count = 0; count < launches; count++)
            await run('cp', ['--reflink=never', image.imagePath, join(folder, `copy-${copies++}`)])
          await flushed(folder)
        },
      },
    ])
    say(`launches a second: ${(launches / (ms! / 1000)).toFixed(1)}`)
    const whole = (await stat(image.imagePath)).size
    const each = median(bytes)
    say(`bytes an instance: ${mib(each)}; a copy takes ${mib(whole)}; ratio: ${(each / whole).toFixed(3)}`)
  } finally {
    ec2.destroy()
    await kiln.cleanup()
    await rm(folder, { recursive: true, force: true })
  }
}

async function launchAll(ec2: EC2Client, imageId: string): Promise<string[]> {
  const request = { ImageId: imageId, MinCount: launches, MaxCount: launches, InstanceType: 't3.nano' as const }
  const { Instances: made } = await ec2.send(new RunInstancesCommand(request))
  const ids = made!.map((instance) => instance.InstanceId!)
  for (;;) {
    const { Reservations: found } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: ids }))
    const states = found!.flatMap(({ Instances: each }) => each!.map((instance) => instance.State!.Name))
    if (states.every((state) => state === 'running')) return ids
    await systemClock.sleep(20)
  }
}

async function bytesOf(kiln: RunningKiln, ec2: EC2Client, ids: readonly string[]): Promise<number[]> {
  const filters = [{ Name: 'attachment.instance-id', Values: [...ids] }]
  const { Volumes: volumes } = await ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  const sizes: number[] = []
  for (const { VolumeId: id } of volumes!) {
    const shown = await kiln.command('volume', 'show', id!, '--json')
    sizes.push((JSON.parse(shown) as { localBytes: number }).localBytes)
  }
  return sizes
}

/** A few with real guests, one after the other; what they have read and written by the time that they answer. */
export async function benchRealLaunches(say: (line: string) => void): Promise<void> {
  const kiln = await startKiln({ machines: 'qemu' })
  try {
    const fleet: Fleet = await prepareFleet(kiln)
    const ids: string[] = []
    const ms = await timed(async () => {
      ids.push(...(await fleet.launch({ count: realLaunches, isWaitedFor: false })))
      for (const id of ids) await fleet.ssh(id, 'true')
    })
    const bytes = median(await bytesOf(kiln, fleet.ec2, ids))
    say(`${realLaunches} real guests at once: ${(realLaunches / (ms / 1000)).toFixed(2)} logins a second`)
    say(`bytes an instance once it answers: ${mib(bytes)}`)
  } finally {
    await kiln.cleanup()
  }
}
