/** A file system that fails on purpose, in the ways that disks do. */
import { rm, writeFile } from 'node:fs/promises'
import { realFiles, type StoreFiles } from '../store-files.ts'

/** The calls that change something on disk. */
export const changingCalls = ['write', 'writeDurably', 'rename', 'link', 'makeFolder'] as const
export type ChangingCall = (typeof changingCalls)[number]

export interface FailingFiles extends StoreFiles {
  /** Lets so many of the coming changing calls pass, then fails one; later ones pass again. */
  failAfter(calls: number, code: 'ENOSPC' | 'EIO', leaving?: 'nothing' | 'half'): void
  /** Changing calls seen so far. */
  readonly changes: number
}

export function failingFiles(): FailingFiles {
  let changes = 0
  let plan: { at: number; code: string; leaving: string } | null = null

  /** True when this call must fail; the plan is used up. */
  const isDue = () => {
    changes++
    return plan !== null && changes === plan.at
  }
  const failure = () => Object.assign(new Error(`${plan!.code}: on purpose`), { code: plan!.code })

  return {
    ...realFiles,
    get changes() {
      return changes
    },
    failAfter(calls, code, leaving = 'nothing') {
      plan = { at: changes + calls + 1, code, leaving }
    },
    async write(path, bytes) {
      if (!isDue()) return await realFiles.write(path, bytes)
      if (plan!.leaving === 'half') await writeFile(path, bytes.subarray(0, bytes.length / 2))
      throw failure()
    },
    async writeDurably(path, bytes) {
      if (isDue()) throw failure()
      await realFiles.writeDurably(path, bytes)
    },
    async rename(from, to) {
      if (isDue()) throw failure()
      await realFiles.rename(from, to)
    },
    async link(existing, path) {
      if (isDue()) throw failure()
      await realFiles.link(existing, path)
    },
    async makeFolder(path, options) {
      if (isDue()) throw failure()
      await realFiles.makeFolder(path, options)
    },
  }
}

/** The folder is gone from one moment to the next, like a disk that was unmounted. */
export async function vanish(directory: string): Promise<void> {
  await rm(directory, { recursive: true })
}
