/** Whether the time to `running`, and the bytes that move, grow with the image: they must not. */
import { CreateImageCommand, DescribeVolumesCommand, waitUntilImageAvailable } from '@aws-sdk/client-ec2'
import { systemClock } from '../src/lib/clock.ts'
import { type Fleet, prepareFleet } from '../test/e2e/support/fleet.ts'
import { type RunningKiln, startKiln } from '../test/e2e/support/kiln.ts'
import { type Bench, median, mib, spread, timed } from './report.ts'

const rounds = 5
const sizeGib = 20
const dataMib = 2048

export const benchImageSize: Bench = {
  question: `does a launch from a ${sizeGib} GiB image that holds ${dataMib / 1024} GiB take longer than from a small one?`,
  async run(say) {
    const kiln = await startKiln({ machines: 'qemu' })
    try {
      const fleet = await prepareFleet(kiln)
      const large = await makeLargeImage(fleet, say)
      const times: Record<'small' | 'large', number[]> = { small: [], large: [] }
      const fetched: Record<'small' | 'large', number[]> = { small: [], large: [] }
      for (let round = 0; round < rounds; round++) {
        for (const [kind, imageId] of [['small', fleet.kilnLinux] as const, ['large', large] as const]) {
          const { ms, id } = await launchToRunning(fleet, imageId)
          times[kind].push(ms)
          await fleet.ssh(id, 'true')
          fetched[kind].push(await fetchedBytes(kiln, fleet, id))
          await fleet.terminate([id])
        }
      }
      say(spread('small image (1 GiB), RunInstances to running', times.small))
      say(spread(`large image (${sizeGib} GiB), RunInstances to running`, times.large))
      say(`ratio large / small: ${(median(times.large) / median(times.small)).toFixed(2)}`)
      say(`moved until the login: small ${mib(median(fetched.small))}, large ${mib(median(fetched.large))}`)
    } finally {
      await kiln.cleanup()
    }
  },
}

async function makeLargeImage(fleet: Fleet, say: (line: string) => void): Promise<string> {
  const [id] = (await fleet.launch({
    more: { BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: sizeGib } }] },
  })) as [string]
  // Data that neither compresses nor repeats.
  const writing = await timed(() =>
    fleet.ssh(id, `sudo dd if=/dev/urandom of=/data bs=1M count=${dataMib} 2>/dev/null; sync`),
  )
  let imageId = ''
  const capturing = await timed(async () => {
    const { ImageId: made } = await fleet.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'large' }))
    imageId = made!
    await waitUntilImageAvailable(
      { client: fleet.ec2, minDelay: 1, maxDelay: 1, maxWaitTime: 600 },
      { ImageIds: [imageId] },
    )
  })
  say(
    `made the large image: ${dataMib} MiB written by the guest in ${(writing / 1000).toFixed(0)} s, image available after ${(capturing / 1000).toFixed(0)} s`,
  )
  await fleet.terminate([id])
  return imageId
}

async function launchToRunning(fleet: Fleet, imageId: string): Promise<{ ms: number; id: string }> {
  let id = ''
  const ms = await timed(async () => {
    id = (await fleet.launch({ imageId, isWaitedFor: false }))[0]!
    while ((await fleet.describe(id)).State!.Name === 'pending') await systemClock.sleep(10)
  })
  return { ms, id }
}

async function fetchedBytes(kiln: RunningKiln, fleet: Fleet, instanceId: string): Promise<number> {
  const filters = [{ Name: 'attachment.instance-id', Values: [instanceId] }]
  const { Volumes: volumes } = await fleet.ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  const shown = await kiln.command('volume', 'show', volumes![0]!.VolumeId!, '--json')
  return (JSON.parse(shown) as { fetchedBytes: number }).fetchedBytes
}
