/**
 * Kiln Linux as the parts of an instance-store bundle. They are made once beside the image and serve every home: whose
 * bundle it is, only the manifest says, and nothing about a public image is secret, so that its key lies beside it.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PackedImage, packImage } from '../../bundles/bundle.ts'
import { openDisk } from '../../bundles/disk-source.ts'
import type { BundleKey } from '../../bundles/seals.ts'
import { run } from '../../lib/programs.ts'
import type { KilnLinuxImage } from './build.ts'

export interface KilnLinuxBundle {
  packed: PackedImage
  key: BundleKey
  /** Where the parts lie. */
  folder: string
}

const recordFile = 'bundle.json'

interface BundleRecord {
  packed: PackedImage
  key: string
  iv: string
}

export async function bundleKilnLinux(
  image: KilnLinuxImage,
  onProgress: (step: string) => void = () => {},
): Promise<KilnLinuxBundle> {
  const folder = `${image.imagePath}.bundle`
  const known = await readRecord(folder)
  if (known) return known
  onProgress(`bundling ${image.name} for the instance store`)
  const work = `${folder}.${process.pid}`
  const raw = join(work, 'root.raw')
  try {
    await mkdir(work, { recursive: true, mode: 0o700 })
    await run('qemu-img', ['convert', '-q', '-O', 'raw', image.imagePath, raw])
    const key = { key: randomBytes(16), iv: randomBytes(16) }
    const disk = await openDisk(raw)
    const writePart = (filename: string, bytes: Buffer) => writeFile(join(work, filename), bytes)
    const packed = await packImage({ image: disk, name: 'kiln-linux', key, writePart }).finally(() => disk.close())
    await rm(raw)
    const record: BundleRecord = { packed, key: key.key.toString('hex'), iv: key.iv.toString('hex') }
    await writeFile(join(work, recordFile), JSON.stringify(record))
    // Another process may have been first; its bundle is as good.
    await rename(work, folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  const made = await readRecord(folder)
  if (made) return made
  throw new Error(`the bundle of Kiln Linux in ${folder} cannot be read: remove that folder and try again`)
}

async function readRecord(folder: string): Promise<KilnLinuxBundle | undefined> {
  try {
    const { packed, key, iv } = JSON.parse(await readFile(join(folder, recordFile), 'utf8')) as BundleRecord
    return { packed, key: { key: Buffer.from(key, 'hex'), iv: Buffer.from(iv, 'hex') }, folder }
  } catch {
    return undefined
  }
}
