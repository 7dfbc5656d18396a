/**
 * Files of imports and exports while they are needed: a folder for each task, and one for each file that is sent here.
 * All names are Kiln's own.
 */
import { mkdir, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { KilnError } from '../../lib/errors.ts'

/** What stays free for the state and for guests that write. */
const reserveBytes = 64 * 1024 ** 2

export class Staging {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  /** The task's folder, made when it is not there. */
  async folder(taskId: string): Promise<string> {
    const folder = join(this.root, taskId)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return folder
  }

  pathOf(taskId: string, name: string): string {
    return join(this.root, taskId, name)
  }

  async remove(folder: string): Promise<void> {
    await rm(join(this.root, folder), { recursive: true, force: true })
  }

  /** Names of folders, and when something was last written in each. */
  async folders(): Promise<{ name: string; writtenAtMs: number }[]> {
    const names = await readdir(this.root).catch(() => [])
    const found = await Promise.all(
      names.map(async (name) => {
        const files = await readdir(join(this.root, name)).catch(() => [])
        const paths = [join(this.root, name), ...files.map((file) => join(this.root, name, file))]
        const times = await Promise.all(
          paths.map((path) =>
            stat(path).then(
              (found) => found.mtimeMs,
              () => 0,
            ),
          ),
        )
        return { name, writtenAtMs: Math.max(...times) }
      }),
    )
    return found
  }

  /** Throws `Unavailable` when the disk has no room for that much, and some more. */
  async checkRoom(bytes: number): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 })
    const { bavail, bsize } = await statfs(this.root)
    const freeBytes = bavail * bsize - reserveBytes
    if (bytes <= freeBytes) return
    throw new KilnError(
      'Unavailable',
      `The disk of the host has no room for a file of ${bytes} bytes: ${Math.max(0, freeBytes)} are free. Free some space there, then ask again.`,
    )
  }
}
