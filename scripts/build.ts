/** `npm run build`: what is published. Compiles `src` to `dist`, and lays beside it the files that the code reads. */
import { spawnSync } from 'node:child_process'
import { cp, readdir, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'

const root = join(import.meta.dirname, '..')
const [source, target] = [join(root, 'src'), join(root, 'dist')]

await rm(target, { recursive: true, force: true })
const tsc = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
if (tsc.status !== 0) process.exit(tsc.status ?? 1)

const entries = await readdir(source, { recursive: true, withFileTypes: true })
const assets = entries
  .filter((entry) => entry.isFile() && !entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => !path.includes('/fixtures/'))
for (const path of assets) {
  await cp(path, join(target, relative(source, path)))
}
console.log(`dist: compiled, and ${assets.length} other files`)
