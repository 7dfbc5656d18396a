/** `kiln image pull`: the official images of publishers, fetched from them, proved, and registered as theirs. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { type Build, newestBuild, sourceOf } from '../../builder/catalogue/builds.ts'
import { type CatalogueImage, catalogue, closestName } from '../../builder/catalogue/catalogue.ts'
import { download } from '../../builder/catalogue/download.ts'
import { systemClock } from '../../lib/clock.ts'
import { homeAt } from '../../lib/home.ts'
import type { DaemonPage } from '../../server.ts'
import { daemonOf, findDaemon } from '../daemon.ts'
import { UsageError } from '../failure.ts'
import { showLine } from '../jobs.ts'
import { homeOption, jsonOption, regionOption } from '../options.ts'
import { type PublishedImage, publishedImages, publishFile } from '../publishing.ts'
import { print, printJson, size, table, time } from '../render.ts'
import { onStopSignals } from '../stop-signals.ts'

interface PullFlags {
  home: string
  region: string
  list?: boolean
  mirror?: string
  json?: boolean
}

export function addImagePull(image: Command): void {
  image
    .command('pull')
    .description("fetch a publisher's official image, and register it under the publisher's account and name")
    .argument('[name]', "as 'kiln image pull --list' names it")
    .option('--list', 'say which images there are, and which were pulled')
    .addOption(
      new Option('--mirror <url>', "a host that has the publisher's files under the same paths").env(
        'KILN_IMAGE_MIRROR',
      ),
    )
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(pull)
}

async function pull(name: string | undefined, flags: PullFlags): Promise<void> {
  if (flags.list) return await list(flags)
  const image = imageNamed(name)
  const page = await daemonOf(flags.home)
  const stop = new AbortController()
  const forget = onStopSignals(
    () => stop.abort(new Error('it was stopped; what was fetched is kept, and the same command goes on from there')),
    () => process.exit(1),
  )
  showLine(`looking for the newest ${image.title}`)
  const build = await newestBuild(image, { mirror: flags.mirror, signal: stop.signal }).finally(() => showLine(''))
  const present = (await publishedImages(page, flags.region)).find((each) => isOf(each, image, build, flags.region))
  if (present) {
    forget()
    tell(flags, image, present, true)
    return
  }
  const path = await fetchFile(image, build, flags, stop.signal)
  forget()
  await register(page, image, build, path, flags.region)
  await rm(path, { force: true })
  const made = (await publishedImages(page)).find((each) => isOf(each, image, build, flags.region))
  if (!made) throw new Error(`${build.imageName} was registered and is gone again: somebody has deregistered it`)
  tell(flags, image, made, false)
}

function imageNamed(name: string | undefined): CatalogueImage {
  const images = catalogue()
  const found = images.find((image) => image.name === name)
  if (found) return found
  const names = images.map((image) => image.name)
  if (name === undefined) throw new UsageError(`name an image: one of ${names.join(', ')}`)
  const meant = closestName(name, names)
  const hint = meant ? `did you mean '${meant}'?` : `there are ${names.join(', ')}`
  throw new UsageError(`there is no image '${name}' to pull: ${hint}`)
}

const isOf = (pulled: PublishedImage, { publisher }: CatalogueImage, { imageName }: Build, region: string) =>
  pulled.accountId === publisher.accountId && pulled.imageName === imageName && pulled.region === region

async function fetchFile(
  image: CatalogueImage,
  { url, fileName, checksum, version }: Build,
  { home, mirror }: PullFlags,
  signal: AbortSignal,
): Promise<string> {
  // The version is not in every publisher's file names, and what waits here belongs to one build.
  const path = join(homeAt(home).cacheDir, 'pulled', `${image.name}-${version}-${fileName}`)
  const source = sourceOf(image, mirror)
  try {
    await download({
      ...{ source, url, path, checksum, clock: systemClock, signal },
      onProgress: (done, total) =>
        showLine(`fetching ${fileName} … ${size(done)}${total ? ` of ${size(total)}, ${percent(done, total)}` : ''}`),
    })
    return path
  } finally {
    showLine('')
  }
}

const percent = (done: number, total: number) => `${Math.floor((100 * done) / total)}%`

async function register(
  page: DaemonPage,
  image: CatalogueImage,
  build: Build,
  path: string,
  region: string,
): Promise<void> {
  const { algorithm, digest } = build.checksum
  await publishFile(page, path, {
    ...{ publisher: image.publisher, region, imageName: build.imageName, catalogueName: image.name },
    ...{ description: `${image.title} (${build.version})`, rootDevice: image.rootDevice, version: build.version },
    ...{ isPartitioned: image.isPartitioned, sourceUrl: build.url, checksum: `${algorithm}:${digest}` },
    verifiedBy: build.signedBy ? 'signature' : 'checksum',
  })
}

function tell({ json }: PullFlags, image: CatalogueImage, pulled: PublishedImage, wasThere: boolean): void {
  const { imageId, imageName, accountId, region } = pulled
  if (json) {
    printJson({ ...pulled, wasThere })
  } else if (wasThere) {
    print(`${imageId}: ${imageName}, of ${accountId}, is the newest, and in ${region} already`)
  } else {
    print(`${imageId}: ${imageName}, of ${accountId}, in ${region}`)
    print(`${provedBy(pulled)} Log in as ${image.login}.`)
  }
}

const provedBy = ({ verifiedBy }: PublishedImage) =>
  verifiedBy === 'signature'
    ? "The publisher's signature was verified."
    : 'Its checksum was verified; of a signature by the publisher Kiln knows nothing.'

async function list({ home, json }: PullFlags): Promise<void> {
  const page = await findDaemon(homeAt(home))
  const pulled = page ? await publishedImages(page) : []
  const images = catalogue().map((image) => ({
    ...{ name: image.name, title: image.title, login: image.login, host: image.publisher.host },
    ...{ accountId: image.publisher.accountId, imageName: image.imageName.replace(/\{\w+\}/g, '*') },
    proof: image.signature ? 'signature' : 'checksum',
    pulled: pulled.filter((each) => each.catalogueName === image.name),
  }))
  if (json) return printJson(images)
  const rows = images.flatMap(({ name, title, accountId, proof, pulled: builds }) =>
    buildRows(builds).map((build) => [name, title, accountId, proof, ...build]),
  )
  print(table(['name', 'image', 'owner', 'proved by', 'pulled', 'size', 'at (UTC)', 'in'], rows, 'No images.'))
}

/** A row for each build that was pulled, with the regions that have it; one of dashes when none was. */
function buildRows(pulled: readonly PublishedImage[]): (string | null | undefined)[][] {
  if (pulled.length === 0) return [[null, null, null, null]]
  return [...Map.groupBy(pulled, (each) => each.version)].map(([version, builds]) => [
    version,
    size(builds[0]!.fileBytes),
    time(Math.min(...builds.map((each) => each.pulledAt))),
    builds.map((each) => each.region).join(', '),
  ])
}
