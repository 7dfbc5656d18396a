/** The root file system as a list: what lies where, with which mode, before any file system holds it. */
import { glob, lstat, open, readdir, readlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

export type TreeEntry =
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'file'; path: string; mode: number; source: string }
  | { kind: 'link'; path: string; target: string }

/** Collects entries by path, the last one winning; parents appear by themselves. Everything belongs to root. */
export class RootTree {
  readonly #entries = new Map<string, TreeEntry>()

  /** All entries, sorted, so that a directory comes before what lies in it. */
  entries(): TreeEntry[] {
    return [...this.#entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  directory(path: string, mode = 0o755): void {
    this.#put({ kind: 'directory', path, mode })
  }

  file(path: string, mode: number, source: string): void {
    this.#put({ kind: 'file', path, mode, source })
  }

  link(path: string, target: string): void {
    this.#put({ kind: 'link', path, target })
  }

  has(path: string): boolean {
    return this.#entries.has(path)
  }

  /** Takes the files below `dir` that match; links stay links. Each pattern must match something. */
  async take(dir: string, patterns: readonly string[]): Promise<void> {
    for (const pattern of patterns) {
      let taken = 0
      for await (const path of glob(pattern, { cwd: dir })) {
        const source = join(dir, path)
        const info = await lstat(source)
        if (info.isDirectory()) continue
        const target = mergedPath(path)
        if (info.isSymbolicLink()) this.link(target, await readlink(source))
        else this.file(target, (await isProgram(source)) ? 0o755 : 0o644, source)
        taken++
      }
      if (taken === 0) throw new Error(`nothing matches ${pattern} in ${dir}`)
    }
  }

  #put(entry: TreeEntry): void {
    const parent = dirname(entry.path)
    if (parent !== '.' && !this.#entries.has(parent)) this.directory(parent)
    this.#entries.set(entry.path, entry)
  }
}

/** Debian's packages still say /bin, /sbin and /lib for some files; those are links into /usr. */
function mergedPath(path: string): string {
  return /^(bin|sbin|lib|lib64)\//.test(path) ? `usr/${path}` : path
}

/** By what the file begins with, because a checkout's or a package's mode bits may not have survived the way here. */
async function isProgram(path: string): Promise<boolean> {
  await using file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
  return buffer.subarray(0, 2).toString() === '#!' || buffer.toString('latin1') === '\x7fELF'
}

/** The paths of all files below `dir`, relative to it and sorted. */
export async function filesBelow(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true })
  return found
    .filter((one) => one.isFile())
    .map((one) => relative(dir, join(one.parentPath, one.name)))
    .sort()
}
