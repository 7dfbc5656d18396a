/** The tree of Kiln Linux's root: Debian's files, ours, and busybox under all of its names. */
import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../../lib/programs.ts'
import { emptyDirectories, links, modes, packageFiles, rootModules } from './recipe.ts'
import { filesBelow, RootTree, type TreeEntry } from './root-tree.ts'

export interface TreeSources {
  /** Our own files, laid out as in the image. */
  rootfsDir: string
  /** A folder per Debian package. */
  unpackedDir: string
  /** The kernel's `lib/modules/<release>/kernel`. */
  modulesDir: string
  /** For files that are made here; must stay until the tree is written. */
  workDir: string
  version: string
  kernelRelease: string
}

export async function kilnLinuxTree(sources: TreeSources): Promise<TreeEntry[]> {
  const tree = new RootTree()
  for (const [path, mode] of Object.entries(emptyDirectories)) tree.directory(path, mode)
  for (const [path, target] of Object.entries(links)) tree.link(path, target)
  for (const [name, patterns] of Object.entries(packageFiles))
    await tree.take(join(sources.unpackedDir, name), patterns)
  for (const module of rootModules)
    tree.file(`usr/lib/modules/${basename(module)}`, 0o644, join(sources.modulesDir, module))
  await tree.take(sources.rootfsDir, await filesBelow(sources.rootfsDir))

  const osRelease = join(sources.workDir, 'os-release')
  await writeFile(osRelease, osReleaseText(sources.version, sources.kernelRelease))
  tree.file('usr/lib/os-release', 0o644, osRelease)
  tree.link('etc/os-release', '../usr/lib/os-release')

  // Busybox stands in for every program that nobody brought.
  const busybox = join(sources.unpackedDir, 'busybox-static/bin/busybox')
  for (const line of (await run(busybox, ['--list-full'])).trim().split('\n')) {
    const path = line.startsWith('usr/') ? line : `usr/${line}`
    if (!/^usr\/s?bin\//.test(path) || tree.has(path)) continue
    tree.link(path, path.startsWith('usr/bin/') ? 'busybox' : '../bin/busybox')
  }
  return tree
    .entries()
    .map((entry) => (entry.kind === 'file' ? { ...entry, mode: modes[entry.path] ?? entry.mode } : entry))
}

function osReleaseText(version: string, kernelRelease: string): string {
  return `NAME="Kiln Linux"
ID=kiln-linux
ID_LIKE=debian
VERSION="${version}"
VERSION_ID="${version.split('-')[0]}"
PRETTY_NAME="Kiln Linux ${version}"
BUILD_ID="${version}"
VARIANT="Linux ${kernelRelease}"
`
}
