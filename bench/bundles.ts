/** Bundles of the AMI tools' format against the programs that those tools call, on the same image of 1 GiB. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createBundle } from '../src/bundles/bundle.ts'
import { createIdentity, readPrivateKey } from '../src/bundles/identity.ts'
import type { BundleKey } from '../src/bundles/seals.ts'
import type { BundledRoot } from '../src/cloud/bundles/bundles.ts'
import { writeSparse } from '../src/cloud/transfers/sparse-file.ts'
import { run } from '../src/lib/programs.ts'
import { openTestCloud, type TestCloud } from '../test/support/test-cloud.ts'
import { compare, type Side } from './blocks/compare.ts'
import { dataBytes, flushed, writeData } from './blocks/lab.ts'
import { type Bench, median, mib } from './report.ts'

const scope = { accountId: '111122223333', region: 'eu-west-1' }
const place = (key: string) => ({ bucket: 'bench-bundles', key })
const readBytes = 1024 * 1024
const sampleMs = 10
const timeoutMs = 600_000

export const benchBundles: Bench = {
  question: 'how do unpacking and making a bundle compare with tar, gzip and openssl in a pipe?',
  async run(say) {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-bench-'))
    const homePath = join(folder, 'home')
    await mkdir(homePath)
    const cloud = await openTestCloud({ homePath })
    try {
      const image = join(folder, 'image')
      await writeData(image)
      const key = { key: randomBytes(16), iv: randomBytes(16) }
      const root = await bundled(cloud, image, key, join(folder, 'parts'))
      say('the root of a launch, out of its bundle in S3 into a file:')
      await unpacking((line) => say(`  ${line}`), { cloud, root, key, folder })
      say('a bundle of an image, in memory a part at a time:')
      await making((line) => say(`  ${line}`), { image, key, folder })
    } finally {
      await cloud.close()
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** In the cloud's S3, and all parts in one file as `cat` would give them. */
async function bundled({ cloud, deps }: TestCloud, image: string, key: BundleKey, copy: string): Promise<BundledRoot> {
  const { certificates, buckets, objects } = cloud
  const signer = await createIdentity({ commonName: 'bench', serialNumber: '01', nowMs: Date.now() })
  await certificates.upload({ accountId: scope.accountId, userId: null }, signer.certificate)
  await deps.blocks.openRegion(scope.region)
  await buckets.create(scope, place('').bucket, { canned: 'private' })
  const file = await open(copy, 'w')
  const put = (name: string, bytes: Buffer) =>
    objects.put(scope.accountId, place(name), {
      content: (async function* () {
        yield bytes
      })(),
    })
  const made = await createBundle({
    ...sealing(image, key),
    userCertificatePem: signer.certificate,
    cloudCertificatePem: (await certificates.cloudIdentity()).certificate,
    signingKey: readPrivateKey(signer.privateKey),
    async writePart(filename, bytes) {
      await put(filename, bytes)
      await file.write(bytes)
    },
  })
  await file.close()
  await put('image.manifest.xml', Buffer.from(made.document))
  const imageLocation = `${place('').bucket}/image.manifest.xml`
  const { manifestHash } = await cloud.bundles.read(scope, imageLocation)
  return { ...scope, imageLocation, manifestHash }
}

const sealing = (image: string, key: BundleKey) => ({
  image: { sizeBytes: dataBytes, bytes: createReadStream(image, { highWaterMark: readBytes }) },
  ...{ name: 'image', user: scope.accountId, architecture: 'x86_64', key },
  bundler: { name: 'kiln', version: '1', release: '0' },
})

interface Unpacking {
  cloud: TestCloud
  root: BundledRoot
  key: BundleKey
  folder: string
}

async function unpacking(say: (line: string) => void, { cloud, root, key, folder }: Unpacking): Promise<void> {
  const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')]
  const watch = new Watch()
  await compare(say, [
    {
      label: 'Kiln',
      run: () =>
        watch.during(async () => {
          await writeSparse(ours, dataBytes, cloud.cloud.bundles.openImage(root), AbortSignal.timeout(timeoutMs))
          await flushed(folder)
        }),
    },
    piped(
      `cat parts | openssl enc -d ${cipherOf(key)} | gunzip | tar -xO > theirs && sync -f theirs`,
      'cat | openssl | gunzip | tar',
      folder,
    ),
    // What the classic tools do on top: every part and the archive are compared with their SHA-1.
    piped(
      `cat parts | tee >(sha1sum > sum1) | openssl enc -d ${cipherOf(key)} | gunzip | tee >(sha1sum > sum2) | tar -xO > theirs && sync -f theirs`,
      'the same, with sha1sum',
      folder,
    ),
  ])
  watch.report(say)
  await run('cmp', [ours, theirs], { timeoutMs })
  for (const path of [ours, theirs]) await rm(path)
}

async function making(
  say: (line: string) => void,
  { image, key, folder }: { image: string; key: BundleKey; folder: string },
): Promise<void> {
  const signer = await createIdentity({ commonName: 'bench', serialNumber: '02', nowMs: Date.now() })
  const watch = new Watch()
  const target = join(folder, 'made')
  await compare(say, [
    {
      label: 'Kiln',
      run: () =>
        watch.during(async () => {
          const file = await open(target, 'w')
          await createBundle({
            ...sealing(image, key),
            ...{ userCertificatePem: signer.certificate, cloudCertificatePem: signer.certificate },
            signingKey: readPrivateKey(signer.privateKey),
            writePart: async (_, bytes) => void (await file.write(bytes)),
          })
          await file.close()
          await flushed(folder)
        }),
    },
    piped(
      `tar -c image | gzip -3 | openssl enc ${cipherOf(key)} > made && sync -f made`,
      'tar | gzip | openssl',
      folder,
    ),
  ])
  watch.report(say)
}

const cipherOf = ({ key, iv }: BundleKey) => `-aes-128-cbc -K ${key.toString('hex')} -iv ${iv.toString('hex')}`

/** The programs in a shell, as somebody would type them. */
function piped(line: string, label: string, folder: string): Side {
  return {
    label,
    run: () => run('bash', ['-o', 'pipefail', '-c', line], { cwd: folder, timeoutMs }),
  }
}

/** How this process felt to whoever else it serves: its memory, and for how long it did not come to anything else. */
class Watch {
  readonly #grownBytes: number[] = []
  readonly #peakBytes: number[] = []
  readonly #usualMs: number[] = []
  readonly #heldMs: number[] = []

  async during(work: () => Promise<unknown>): Promise<void> {
    const start = process.memoryUsage.rss()
    let peak = start
    const sampling = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss())
    }, sampleMs)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    try {
      await work()
    } finally {
      delay.disable()
      clearInterval(sampling)
    }
    this.#grownBytes.push(peak - start)
    this.#peakBytes.push(peak)
    this.#heldMs.push(delay.max / 1e6)
    this.#usualMs.push(delay.percentile(99) / 1e6)
  }

  report(say: (line: string) => void): void {
    const [grown, peak] = [Math.max(...this.#grownBytes), Math.max(...this.#peakBytes)]
    say(`memory at most: ${mib(peak)} of the whole process, ${mib(grown)} more than when it began`)
    say(
      `anything else waited ${median(this.#usualMs).toFixed(1)} ms (99 %), at most ${Math.max(...this.#heldMs).toFixed(1)} ms`,
    )
  }
}
