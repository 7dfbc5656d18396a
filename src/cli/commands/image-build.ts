/** `kiln image build`: a whole Debian made on this host of Debian's packages, and registered as Debian's own on EC2 are. */
import { type Command, Option } from 'commander'
import type { DebianImage } from '../../builder/debian/build.ts'
import { systemClock } from '../../lib/clock.ts'
import { homeAt } from '../../lib/home.ts'
import { daemonOf } from '../daemon.ts'
import { UsageError } from '../failure.ts'
import { showLine } from '../jobs.ts'
import { homeOption, jsonOption, regionOption } from '../options.ts'
import { type PublishedImage, publishedImages, publishFile } from '../publishing.ts'
import { print, printJson, size, time } from '../render.ts'
import { onStopSignals } from '../stop-signals.ts'

interface BuildFlags {
  home: string
  region: string
  mirror?: string
  refresh?: boolean
  json?: boolean
}

/** What of this kind can be built. */
const buildable = ['debian-12']

export function addImageBuild(image: Command): void {
  image
    .command('build')
    .description("build an image on this host of its distribution's packages, and register it as its publisher's")
    .argument('[name]', `which: ${buildable.join(', ')}`)
    .addOption(
      new Option('--mirror <url>', "the Debian archive to build from (default: what this host's apt knows)").env(
        'KILN_DEBIAN_MIRROR',
      ),
    )
    .option('--refresh', "build of today's packages, even when an image was built before")
    .addOption(homeOption())
    .addOption(regionOption())
    .addOption(jsonOption())
    .action(build)
}

async function build(name: string | undefined, flags: BuildFlags): Promise<void> {
  checkName(name)
  const page = await daemonOf(flags.home)
  // Not at the top: other commands have no use for it.
  const { publisher, release } = await import('../../builder/debian/recipe.ts')
  const startedAtMs = systemClock.now()
  const { image, wasThere } = await builtImage(flags)
  const buildMs = systemClock.now() - startedAtMs
  const find = async () =>
    (await publishedImages(page, flags.region)).find(
      ({ accountId, imageName, region }) =>
        accountId === publisher.accountId && imageName === image.name && region === flags.region,
    )
  const present = await find()
  if (!present) {
    await publishFile(page, image.imagePath, {
      ...{ publisher, region: flags.region, imageName: image.name, version: image.version, isPartitioned: true },
      ...{ description: `${release.title} (${image.version})`, rootDevice: publisher.rootDevice },
      ...{ catalogueName: `${name}-built`, sourceUrl: image.archive, checksum: `sha256:${image.sha256}` },
      // apt has verified Debian's signature of every package's checksum.
      verifiedBy: 'signature',
    })
  }
  const made = present ?? (await find())
  if (!made) throw new Error(`${image.name} was registered and is gone again: somebody has deregistered it`)
  tell(flags, { image, made, wasBuilt: !wasThere, wasThere: present !== undefined, buildMs, login: publisher.login })
}

function checkName(name: string | undefined): void {
  if (name !== undefined && buildable.includes(name)) return
  const all = buildable.join(', ')
  if (name === undefined) throw new UsageError(`name what to build: ${all}`)
  throw new UsageError(`'${name}' cannot be built here: ${all} can; for others see kiln image pull --list`)
}

async function builtImage({ home, mirror, refresh }: BuildFlags): Promise<{ image: DebianImage; wasThere: boolean }> {
  const { buildDebian } = await import('../../builder/debian/build.ts')
  const stop = new AbortController()
  const forget = onStopSignals(
    () => stop.abort(new Error('it was stopped, and nothing of it is left')),
    () => process.exit(1),
  )
  try {
    return await buildDebian({
      ...{ cacheDir: homeAt(home).cacheDir, mirror, refresh, signal: stop.signal },
      onProgress: (step) => showLine(`${step} …`),
    })
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error
  } finally {
    forget()
    showLine('')
  }
}

interface Outcome {
  image: DebianImage
  made: PublishedImage
  /** Now; false when the cache had it. */
  wasBuilt: boolean
  /** Whether the region had it already. */
  wasThere: boolean
  buildMs: number
  login: string
}

function tell({ json }: BuildFlags, { image, made, wasBuilt, wasThere, buildMs, login }: Outcome): void {
  const { imageId, imageName, accountId, region } = made
  const { packageCount, archive, builtAtMs } = image
  if (json) {
    const { pulledAt: registeredAt, verifiedBy: _, catalogueName: __, ...facts } = made
    printJson({ ...facts, registeredAt, builtAt: builtAtMs, packageCount, login, wasBuilt, wasThere })
    return
  }
  print(`${imageId}: ${imageName}, of ${accountId}, in ${region}${wasThere ? ' already' : ''}`)
  if (wasBuilt) {
    const took = `${Math.round(buildMs / 1000)} s`
    print(`Built in ${took} of ${packageCount} packages of ${archive} (${size(made.fileBytes)}). Log in as ${login}.`)
  } else {
    print(`Built ${time(builtAtMs)} (UTC); --refresh builds one of today's packages. Log in as ${login}.`)
  }
}
