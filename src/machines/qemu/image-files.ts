/**
 * Image files of other systems, opened and written by QEMU's own programs. What was sent by somebody is opened with its
 * driver named and without any backing, after its headers were checked, by a process that can gain no rights and that
 * takes no more memory than a disk of the largest size needs.
 */
import { readFile, rm } from 'node:fs/promises'
import { messageOf } from '../../lib/errors.ts'
import { ProgramError, run } from '../../lib/programs.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { DiskFormat, DiskToWrite, FoundDisk, ImageFileTools } from '../driver.ts'
import { type CheckedDisk, inspectFile } from '../image-files/inspection.ts'
import { writeOva } from '../image-files/ova-writer.ts'
import type { BlockNode } from './disk-chain.ts'
import type { HostDiskTools } from './disk-tools.ts'

const drivers: Readonly<Record<DiskFormat, string>> = {
  raw: 'raw',
  qcow2: 'qcow2',
  vmdk: 'vmdk',
  vhd: 'vpc',
  vhdx: 'vhdx',
}

/** What others read: VMware and EC2 want streamOptimized; a VHD's size would otherwise be rounded to a geometry. */
const writeOptions: Readonly<Record<DiskFormat, string | null>> = {
  raw: null,
  qcow2: 'compat=1.1,cluster_size=64k',
  vmdk: 'subformat=streamOptimized,adapter_type=lsilogic',
  vhd: 'subformat=dynamic,force_size=on',
  vhdx: 'subformat=dynamic',
}

const memoryBytesMax = 4 * 1024 ** 3
const lookTimeoutMs = 60_000
const nodeName = 'image'
const sectorBytes = 512

export function createImageFileTools(disks: Pick<HostDiskTools, 'createLayer' | 'serveNodes'>): ImageFileTools {
  return {
    async inspect(path, declared, signal) {
      const { format, disks: checked } = await inspectFile(path, declared, signal)
      const found: FoundDisk[] = []
      for (const disk of checked) found.push({ ...disk, sizeBytes: await sizeOf(path, disk) })
      return { format, disks: found }
    },

    async startOf(path, disk, lengthBytes, scratchPath) {
      const count = Math.ceil(Math.min(lengthBytes, disk.sizeBytes) / sectorBytes)
      try {
        const source = `json:${JSON.stringify(nestedNode(path, disk))}`
        await qemuImg(['dd', '-O', 'raw', `bs=${sectorBytes}`, `count=${count}`, `if=${source}`, `of=${scratchPath}`], {
          timeoutMs: lookTimeoutMs,
        })
        return await readFile(scratchPath)
      } catch (error) {
        throw unreadable(error)
      } finally {
        await rm(scratchPath, { force: true })
      }
    },

    async openForReading(path, disk, sizeBytes, scratchPath) {
      await disks.createLayer(scratchPath, sizeBytes, null)
      const [file, image] = [fileNode(path, disk), { ...imageNode(disk), file: 'image-file' }]
      const above: BlockNode = {
        driver: 'qcow2',
        'node-name': 'filled-up',
        'read-only': true,
        backing: nodeName,
        file: { driver: 'file', filename: scratchPath, 'read-only': true },
      }
      const release = () => rm(scratchPath, { force: true })
      try {
        const nodes = [{ ...file, 'node-name': 'image-file' }, { ...image, 'node-name': nodeName }, above]
        const served = await disks.serveNodes(nodes as BlockNode[], sizeBytes)
        return {
          ...served,
          async close() {
            await served.close()
            await release()
          },
        }
      } catch (error) {
        await release()
        throw error
      }
    },

    async write({ disks: sources, format, path, name }, progress = {}) {
      if (format !== 'ova') {
        if (sources.length !== 1) throw new Error(`a ${format} file holds one disk, not ${sources.length}`)
        return await convert(sources[0]!, format, path, progress)
      }
      await writeOva({ disks: sources, path, name }, (disk, diskPath, part) => convert(disk, 'vmdk', diskPath, part), {
        ...progress,
      })
    },
  }
}

type WriteProgress = NonNullable<Parameters<ImageFileTools['write']>[1]>

async function convert(
  { source }: DiskToWrite,
  format: DiskFormat,
  path: string,
  progress: WriteProgress,
): Promise<void> {
  const node = {
    driver: 'nbd',
    server: { type: 'unix', path: source.socketPath },
    export: source.exportName,
    'read-only': true,
  }
  const options = writeOptions[format]
  await rm(path, { force: true })
  const shape = ['-O', drivers[format], ...(options ? ['-o', options] : [])]
  await qemuImg(['convert', '-p', ...shape, `json:${JSON.stringify(node)}`, path], {
    signal: progress.signal,
    onOutput: percentReader(progress),
  })
}

/** qemu-img writes `(12.34/100%)` over and over. */
function percentReader({ onPercent }: WriteProgress): (text: string) => void {
  let last = -1
  return (text) => {
    const found = [...text.matchAll(/\((\d+)\.\d+\/100%\)/g)].at(-1)
    const percent = Number(found?.[1])
    if (!found || percent === last) return
    last = percent
    // Whoever shows the progress may have lost its right to: the step itself finds out.
    void Promise.resolve(onPercent?.(percent)).catch(() => {})
  }
}

/** As QEMU sees it, which opened the file with what was checked. */
async function sizeOf(path: string, disk: CheckedDisk): Promise<number> {
  try {
    const args = ['info', '--output=json', `json:${JSON.stringify(nestedNode(path, disk))}`]
    const info = JSON.parse(await qemuImg(args, { timeoutMs: lookTimeoutMs })) as { 'virtual-size': number }
    return info['virtual-size']
  } catch (error) {
    throw unreadable(error)
  }
}

function unreadable(error: unknown): unknown {
  if (!(error instanceof ProgramError) || error.exitCode === null) return error
  const said = error.stderr
    .trim()
    .split('\n')
    .at(-1)!
    // The file's own place on this host is nobody's business.
    .replace(/json:\{.*\}/, 'the file')
    .replace(/^qemu-img: /, '')
  return new UnusableImage(`a disk that QEMU cannot read: ${said}`, { cause: error })
}

const nestedNode = (path: string, disk: CheckedDisk) => ({ ...imageNode(disk), file: fileNode(path, disk) })

function imageNode({ format }: CheckedDisk): Record<string, unknown> & { driver: string } {
  const backing = format === 'qcow2' || format === 'vmdk' ? { backing: null } : {}
  return { driver: drivers[format], 'read-only': true, ...backing }
}

function fileNode(path: string, { window }: CheckedDisk): Record<string, unknown> & { driver: string } {
  const file = { driver: 'file', filename: path, 'read-only': true }
  if (!window) return file
  return { driver: 'raw', offset: window.offsetBytes, size: window.lengthBytes, 'read-only': true, file }
}

/** Everything that qemu-img does here, bounded in memory and rights, and dying with us. */
async function qemuImg(args: readonly string[], options: Parameters<typeof run>[2]): Promise<string> {
  const confined = ['--no-new-privs', '--pdeathsig', 'KILL', '--', 'qemu-img', ...args]
  try {
    return await run('prlimit', [`--as=${memoryBytesMax}`, '--core=0', '--', 'setpriv', ...confined], options)
  } catch (error) {
    options?.signal?.throwIfAborted()
    if (error instanceof ProgramError && /No space left on device/.test(error.stderr)) {
      throw new Error(`there is no room on the disk: ${messageOf(error)}`, { cause: error })
    }
    throw error
  }
}
