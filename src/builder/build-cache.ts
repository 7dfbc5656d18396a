/**
 * What builders have made, kept in a cache. A finished image is found by what decides it, without asking anybody.
 * Everything appears by rename: an interrupted build leaves a work folder, which the next one removes, and never half an
 * image.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { systemClock } from '../lib/clock.ts'
import { withBuildLock } from './build-lock.ts'
import { filesBelow } from './kiln-linux/root-tree.ts'

export interface BuiltImage {
  /** Under which it is registered. */
  name: string
  version: string
  /** A compressed qcow2 without a backing file. */
  imagePath: string
  virtualSizeBytes: number
  /** Of the qcow2 file, hexadecimal. */
  sha256: string
}

/** What a finished build left beside the image. */
interface Receipt<Image extends BuiltImage> {
  image: Omit<Image, 'imagePath'> & { fileName: string; fileBytes: number }
  packages: unknown
}

export interface CachedBuild<Image extends BuiltImage> {
  /** Belongs to builds of this kind; made when it is missing. */
  folder: string
  /** Tells builds of other sources apart: hexadecimal. */
  key: string
  /** Builds even when an image of these sources exists. */
  refresh?: boolean
  /** Makes the image within the work folder. `packages` is noted beside it. */
  build(workDir: string): Promise<{ image: Image; packages: unknown }>
  /** For work folders in which not all belongs to this user. */
  removeWork?(workDir: string): Promise<void>
}

/** The image of these sources: from the cache when it is there, else built. One builds at a time. */
export async function builtOnce<Image extends BuiltImage>(
  wish: CachedBuild<Image>,
): Promise<{ image: Image; wasThere: boolean }> {
  const { folder, refresh = false, removeWork = removeFolder } = wish
  const receiptPath = join(folder, `built-${wish.key.slice(0, 16)}.json`)
  const present = async () => (refresh ? undefined : await readReceipt<Image>(folder, receiptPath))
  const cached = await present()
  if (cached) return { image: cached, wasThere: true }

  await mkdir(folder, { recursive: true, mode: 0o700 })
  return withBuildLock(join(folder, 'lock'), systemClock, async () => {
    // Whoever held the lock may have built it.
    const builtMeanwhile = await present()
    if (builtMeanwhile) return { image: builtMeanwhile, wasThere: true }
    for (const name of await readdir(folder)) if (name.startsWith('work-')) await removeWork(join(folder, name))
    const workDir = join(folder, `work-${randomUUID()}`)
    await mkdir(workDir)
    try {
      const { image, packages } = await wish.build(workDir)
      return { image: await keep(image, packages, { workDir, folder, receiptPath }), wasThere: false }
    } finally {
      await removeWork(workDir)
    }
  })
}

async function keep<Image extends BuiltImage>(
  made: Image,
  packages: unknown,
  { workDir, folder, receiptPath }: { workDir: string; folder: string; receiptPath: string },
): Promise<Image> {
  const { imagePath, ...image } = made
  const fileName = `${made.name}.qcow2`
  const fileBytes = (await stat(imagePath)).size
  await rename(imagePath, join(folder, fileName))
  const receipt = { image: { ...image, fileName, fileBytes }, packages }
  const draft = join(workDir, basename(receiptPath))
  await writeFile(draft, `${JSON.stringify(receipt, null, 2)}\n`)
  await rename(draft, receiptPath)
  return { ...made, imagePath: join(folder, fileName) }
}

const removeFolder = (path: string) => rm(path, { recursive: true, force: true })

async function readReceipt<Image extends BuiltImage>(folder: string, path: string): Promise<Image | undefined> {
  try {
    const { image } = JSON.parse(await readFile(path, 'utf8')) as Receipt<Image>
    const { fileName, fileBytes, ...rest } = image
    const imagePath = join(folder, fileName)
    return (await stat(imagePath)).size === fileBytes ? ({ ...rest, imagePath } as unknown as Image) : undefined
  } catch {
    return undefined
  }
}

/** Flushes the file to the disk and tells its hash. */
export async function settle(path: string): Promise<string> {
  await using file = await open(path)
  await file.sync()
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** Of all files in a builder's folder that decide what is built; tests and declarations do not. */
export async function hashOfSources(folder: string): Promise<string> {
  const paths = (await filesBelow(folder)).filter((path) => !/\.(test|fixture|d)\.ts$/.test(path))
  const hash = createHash('sha256')
  for (const path of paths) {
    const content = await readFile(join(folder, path))
    hash.update(`${path} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}
