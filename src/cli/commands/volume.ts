import { type Command, InvalidArgumentError } from 'commander'
import { systemClock } from '../../lib/clock.ts'
import { control, daemonOf } from '../daemon.ts'
import { homeOption, jsonOption } from '../options.ts'
import { facts, print, printJson, size, state, steadyProgress } from '../render.ts'

interface VolumeUsage {
  id: string
  accountId: string
  zone: string
  sizeGib: number
  volumeType: string
  snapshotId: string | null
  sourceVolumeId: string | null
  kmsKeyArn: string | null
  state: string
  layers: number
  isLazy: boolean
  hydrationPercent: number | null
  localBytes: number
  fetchedBytes: number
  fetchedBlocks: number
  attachedTo: { instanceId: string; deviceName: string }[]
}

export function addVolumes(program: Command): void {
  const volume = program.command('volume').description('volumes')
  volume
    .command('show')
    .description('what a volume takes on this host, and what it had served from its snapshot')
    .argument('<volume>', 'vol-… with 17 digits', readVolumeId)
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(show)
  volume
    .command('hydrate')
    .description('fetch the rest of the snapshot now, so that the volume needs it no more')
    .argument('<volume>', 'vol-… with 17 digits', readVolumeId)
    .addOption(homeOption())
    .action(hydrate)
}

const lookEveryMs = 500

async function hydrate(id: string, flags: { home: string }): Promise<void> {
  const daemon = await daemonOf(flags.home)
  const look = () => control<VolumeUsage>(daemon, `/_kiln/volumes/${id}`)
  await control(daemon, `/_kiln/volumes/${id}/hydrate`, 'POST')
  const steps = steadyProgress(`fetching what ${id} stands on`)
  for (;;) {
    const { isLazy, hydrationPercent } = await look()
    if (!isLazy) break
    if (hydrationPercent === null) throw new Error(`${id} could not be hydrated; the daemon's standard error says why`)
    steps.show(hydrationPercent)
    await systemClock.sleep(lookEveryMs)
  }
  steps.end()
  print(`${id} needs no snapshot any more`)
}

function readVolumeId(text: string): string {
  if (/^vol-[0-9a-f]{17}$/.test(text)) return text
  throw new InvalidArgumentError("A volume is vol- and 17 hexadecimal digits; 'aws ec2 describe-volumes' lists them.")
}

async function show(id: string, flags: { home: string; json?: boolean }): Promise<void> {
  const volume = await control<VolumeUsage>(await daemonOf(flags.home), `/_kiln/volumes/${id}`)
  if (flags.json) return printJson(volume)
  const from = volume.snapshotId ?? (volume.sourceVolumeId ? `a copy of ${volume.sourceVolumeId}` : 'no snapshot')
  print(
    facts([
      ['volume', volume.id],
      ['state', state(volume.state)],
      ['size', `${volume.sizeGib} GiB, ${volume.volumeType}`],
      ['zone', `${volume.zone}, account ${volume.accountId}`],
      ['encrypted under', volume.kmsKeyArn ?? undefined],
      ['made from', volume.isLazy ? `${from}; blocks of the snapshot are served when they are read` : from],
      ['fetched', `${size(volume.fetchedBytes)} of the snapshot so far, in ${volume.fetchedBlocks} blocks`],
      ['hydration', volume.hydrationPercent === null ? undefined : `${volume.hydrationPercent}%`],
      ['on this host', `${size(volume.localBytes)} in ${volume.layers} ${volume.layers === 1 ? 'layer' : 'layers'}`],
      ['attached to', volume.attachedTo.map((to) => `${to.instanceId} as ${to.deviceName}`).join(', ') || 'nothing'],
    ]),
  )
}
