/**
 * Our files as an archive that mmdebstrap lays into the new root before the packages are configured. Owners and modes are
 * those of the image: what a checkout made of them does not count.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { filesBelow } from '../kiln-linux/root-tree.ts'
import { grubMenu, mountTable } from './recipe.ts'

/** Files of which nothing lies in `rootfs/`: the recipe writes them. */
const written: Readonly<Record<string, () => string>> = {
  // Not in its place yet: a kernel that finds a menu there when it is installed runs update-grub, which wants a disk.
  'usr/lib/kiln/grub.cfg': grubMenu,
  'etc/fstab': mountTable,
}

/** The same bytes for the same files. */
export async function overlayArchive(rootfsDir: string): Promise<Buffer> {
  const archive = pack()
  const bytes = buffer(archive)
  const files = new Map(Object.entries(written).map(([path, text]) => [path, Buffer.from(text())]))
  for (const path of await filesBelow(rootfsDir)) files.set(path, await readFile(join(rootfsDir, path)))
  const date = new Date(0)
  for (const path of parentsOf([...files.keys()]))
    archive.entry({ name: `${path}/`, type: 'directory', mode: 0o755, mtime: date })
  for (const [path, content] of files) {
    const mode = content.subarray(0, 2).toString() === '#!' ? 0o755 : 0o644
    archive.entry({ name: path, mode, mtime: date, size: content.length }, content)
  }
  archive.finalize()
  return await bytes
}

/** All directories above these files, each before those in it. */
function parentsOf(paths: readonly string[]): string[] {
  const parents = paths.flatMap((path) => {
    const parts = path.split('/').slice(0, -1)
    return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
  })
  return [...new Set(parents)].sort()
}
