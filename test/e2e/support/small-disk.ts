/** A file system of its own for a test's home, whose room can be taken away and given back while it is in use. */
import { mkdtemp, rmdir, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../../src/lib/programs.ts'

const mib = 1024 ** 2

export class SmallDisk {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** In memory. The reason in words where this user may not mount. */
  static async make(sizeMib: number): Promise<SmallDisk | string> {
    const path = await mkdtemp(join(tmpdir(), 'kiln-disk-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m,mode=0700`, 'kiln-test', path])
      return new SmallDisk(path)
    } catch (error) {
      await rmdir(path)
      return `a file system cannot be mounted here: ${(error as Error).message}`
    }
  }

  /** From now on there is so much room beyond what is taken. */
  async leave(freeMib: number): Promise<void> {
    const { blocks, bfree, bsize } = await statfs(this.path)
    const takenMib = Math.ceil(((blocks - bfree) * bsize) / mib)
    await run('mount', ['-o', `remount,size=${takenMib + freeMib}m`, this.path])
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path)
    return bavail * bsize
  }

  async remove(): Promise<void> {
    await run('umount', [this.path])
    await rmdir(this.path)
  }
}
