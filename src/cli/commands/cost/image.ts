/** `kiln cost image`: what an image costs a month, and what deregistering it would save. */
import type { Command } from 'commander'
import { daemonOf } from '../../daemon.ts'
import { runJob } from '../../jobs.ts'
import { homeOption, jsonOption, readImageId, regionOption } from '../../options.ts'
import { print, printJson, size, table } from '../../render.ts'
import { moneyOf } from './cost-report.ts'

interface ImagePrice {
  imageId: string
  currency: string
  snapshots: {
    snapshotId: string
    uniqueBytes: number
    sharedBytes: number
    staysBecause: string | null
    unique: string
    shared: string
    billed: string
  }[]
  bundle: { location: string; bytes: number; cost: string } | null
  billed: string
  freedBytes: number
  freed: string
  saved: string
}

export function addImageCost(cost: Command): void {
  cost
    .command('image')
    .description('what an image costs a month, how much of it is its own, and what deregistering it would save')
    .argument('<image>', 'ami-… with 17 digits', readImageId)
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(imageCost)
}

async function imageCost(id: string, flags: { home: string; region: string; json?: boolean }): Promise<void> {
  const path = `/_kiln/images/${id}/price?${new URLSearchParams({ region: flags.region })}`
  const image = await runJob<ImagePrice>(await daemonOf(flags.home), path, 'measuring')
  if (flags.json) return printJson(image)
  print([...(image.bundle ? bundleLines(image, image.bundle) : []), ...snapshotLines(image)].join('\n'))
}

function bundleLines({ imageId, currency }: ImagePrice, { location, bytes, cost }: NonNullable<ImagePrice['bundle']>) {
  const bucket = location.split('/')[0]!
  const rows = [[location, size(bytes), moneyOf(cost, currency)]]
  return [
    table(['bundle', 'stored', 'billed a month'], rows, ''),
    `Deregistering ${imageId} saves nothing: its bundle stays in the bucket ${bucket} until it is deleted there.`,
  ]
}

function snapshotLines({ imageId, currency, snapshots, billed, freedBytes, freed, saved }: ImagePrice): string[] {
  if (snapshots.length === 0) return []
  const money = (text: string) => moneyOf(text, currency)
  const rows = snapshots.map((one) => [
    ...[one.snapshotId, size(one.uniqueBytes), money(one.unique), size(one.sharedBytes), money(one.shared)],
    money(one.billed),
  ])
  const headings = ['snapshot', 'its own', 'worth a month', 'shared', 'worth a month', 'billed a month']
  return [
    table(headings, rows, ''),
    ...snapshots.flatMap((one) => (one.staysBecause ? [`${one.snapshotId} would stay: ${one.staysBecause}.`] : [])),
    `Billed are ${money(billed)} a month. Deregistering ${imageId} with its snapshots takes at most ${money(saved)} off that,`,
    `and frees ${size(freedBytes)} of the store, which as snapshots are worth ${money(freed)} a month.`,
  ]
}
