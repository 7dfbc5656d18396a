/** The block store against what a user would run instead on the same qcow2 of 1 GiB of data. */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/lib/programs.ts'
import { type Bench, median, mib } from '../report.ts'
import { compare, type Side } from './compare.ts'
import { changedMib, flushed, Lab } from './lab.ts'
import { benchLaunches, benchRealLaunches } from './launches.ts'
import { benchReads } from './reads.ts'

export const benchBlocks: Bench = {
  question: 'how do snapshots, copies, lazy reads and launches compare with doing it by hand?',
  async run(say) {
    const lab = await Lab.open()
    const under = (title: string) => {
      say(title)
      return (line: string) => say(`  ${line}`)
    }
    try {
      await captures(lab, under('capture of 1 GiB, half of it packable:'))
      const region = await lab.newRegion()
      const { root } = await lab.capture(region, [lab.disk], null)
      await increments(lab, region, root, under(`capture of ${changedMib} MiB that were changed:`))
      await hydration(lab, region, root, under('a volume’s base as a local file:'))
      await copies(lab, region, root, under('copy to another region:'))
      await benchReads(lab, region, root, under('reads over a unix socket:'))
      await benchLaunches(under('launches from one image, simulated machines:'))
      await benchRealLaunches(under('launches from one image, real machines:'))
    } finally {
      await lab.close()
    }
  },
}

/** A program's side that makes one file. */
function converting(lab: Lab, label: string, options: readonly string[], source = lab.disk): Side {
  const target = join(lab.folder, 'converted')
  return {
    label,
    run: async () => {
      await run('qemu-img', ['convert', ...options, source, target], { timeoutMs: 600_000 })
      await flushed(lab.folder)
    },
    tidy: () => rm(target),
  }
}

async function captures(lab: Lab, say: (line: string) => void): Promise<void> {
  let region = ''
  const stored: number[] = []
  await compare(say, [
    {
      label: 'first capture',
      run: async () => {
        region = await lab.newRegion()
        stored.push((await lab.capture(region, [lab.disk], null)).stats.bytesStored)
      },
      tidy: () => lab.remove(region),
    },
    converting(lab, 'qemu-img convert -c', ['-c', '-O', 'qcow2']),
    converting(lab, 'qemu-img convert -c, zstd', [
      '-c',
      '-O',
      'qcow2',
      '-o',
      'compression_type=zstd',
      '-m',
      '16',
      '-W',
    ]),
    converting(lab, 'qemu-img convert', ['-O', 'qcow2']),
  ])
  say(`stored: ${mib(median(stored))} of ${mib((await stat(lab.disk)).size)}`)
}

async function increments(lab: Lab, region: string, root: string, say: (line: string) => void): Promise<void> {
  const stored: number[] = []
  let scratch = ''
  await compare(say, [
    {
      // Into a region that has the parent and nothing of what was changed, as the first time.
      label: 'incremental capture',
      run: async () => {
        stored.push((await lab.capture(scratch || region, [lab.disk, lab.increment], root)).stats.bytesStored)
        scratch = ''
      },
      tidy: async () => {
        scratch = await lab.newRegion()
        await lab.blocks.copy({ root, fromRegion: region, toRegion: scratch })
      },
    },
    converting(lab, 'qemu-img convert -c of the changed layer', ['-c', '-O', 'qcow2'], lab.increment),
  ])
  say(`stored: ${mib(median(stored))}`)
}

async function hydration(lab: Lab, region: string, root: string, say: (line: string) => void): Promise<void> {
  const path = join(lab.folder, 'base.raw')
  await compare(say, [
    {
      label: 'hydrate',
      run: async () => {
        await lab.blocks.materialize({ region, root, path, diskKey: null })
      },
      tidy: () => rm(path),
    },
    converting(lab, 'qemu-img convert to raw', ['-O', 'raw']),
  ])
}

async function copies(lab: Lab, region: string, root: string, say: (line: string) => void): Promise<void> {
  let target = ''
  const copied = join(lab.folder, 'copied')
  await compare(say, [
    {
      label: 'copy between regions',
      run: async () => {
        target = await lab.newRegion()
        await lab.blocks.copy({ root, fromRegion: region, toRegion: target })
      },
      tidy: () => lab.remove(target),
    },
    {
      label: 'cp -r of the store',
      run: async () => {
        await run('cp', ['-r', '--reflink=never', join(lab.regionsDir, region), copied])
        await flushed(lab.folder)
      },
      tidy: () => rm(copied, { recursive: true }),
    },
  ])
}
