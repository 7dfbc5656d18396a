/**
 * `npm run check`: what can be known without running anything of ours. All checks run at once, in seconds; a line each,
 * and what they found below it. Ends with 1 when any of them found something.
 */
import { spawn } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { type SourceFile, violations } from './import-rules.ts'

/** Finds problems, one text each. */
type Check = () => Promise<string[]> | string[]

interface RepositoryFile extends SourceFile {
  sizeBytes: number
}

const root = join(import.meta.dirname, '..')
const bin = (name: string) => join(root, 'node_modules/.bin', name)
const largestFileBytes = 1_500_000
const longestSourceLines = 500
/** What one check may print. */
const longestComplaintLines = 60

const files = await repositoryFiles('.')
const sources = files.filter((file) => /\.(ts|tsx|mjs)$/.test(file.path) && !/\.generated\./.test(file.path))

const checks: Readonly<Record<string, Check>> = {
  types: program(bin('tsc'), '-p', 'tsconfig.json'),
  'lint and format': program(bin('biome'), 'check', '.', '--colors=off'),
  'generated files': program(process.execPath, 'scripts/generate.ts', '--check'),
  'import rules': () => violations(files).map(({ path, line, message }) => `${path}:${line} ${message}`),
  'shell scripts': shellScripts,
  'file sizes': () => [
    ...files.filter((file) => file.sizeBytes > largestFileBytes).map((file) => `${file.path}: ${file.sizeBytes} bytes`),
    ...sources
      .map((file) => ({ path: file.path, lines: file.text.split('\n').length }))
      .filter(({ lines }) => lines > longestSourceLines)
      .map(({ path, lines }) => `${path}: ${lines} lines, at most ${longestSourceLines}`),
  ],
  'file names': () =>
    files
      .filter((file) => /(^|[-_./])(utils?|helpers?|managers?)(\.[a-z]+)*$/i.test(file.path.split('/').at(-1)!))
      .map((file) => `${file.path}: name what it is about`),
  // Which registry serves the packages is the user's setting, not ours.
  'no registry named': () => [
    ...matches(files, /\bregistry\.[a-z0-9-]+\.[a-z]{2,}|\bpypi\.org\b|\bdeb\.debian\.org\b/gi),
    ...matches(
      files.filter((file) => file.path === 'package-lock.json'),
      /"resolved": *"https?:[^"]*"/g,
    ),
  ],
}

const results = await Promise.all(Object.entries(checks).map(([name, check]) => timed(name, check)))
const failed = results.filter((problems) => problems.length > 0).length
if (failed > 0) console.log(styleText('red', `${failed} of ${results.length} checks found something`))
process.exitCode = failed > 0 ? 1 : 0

async function timed(name: string, check: Check): Promise<string[]> {
  const start = performance.now()
  const problems = await check()
  const time = styleText('dim', `${((performance.now() - start) / 1000).toFixed(1)} s`)
  console.log(`${problems.length === 0 ? styleText('green', '✓') : styleText('red', '✗')} ${name} ${time}`)
  const lines = problems.join('\n').split('\n')
  for (const line of lines.slice(0, longestComplaintLines)) if (line) console.log(`  ${line}`)
  if (lines.length > longestComplaintLines) console.log(`  … and ${lines.length - longestComplaintLines} lines more`)
  return problems
}

/** A check that is a program: what it says is the problem when it does not end with 0. */
function program(path: string, ...args: string[]): Check {
  return () =>
    new Promise((resolve) => {
      const child = spawn(path, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
      const said: Buffer[] = []
      child.stdout.on('data', (chunk) => said.push(chunk))
      child.stderr.on('data', (chunk) => said.push(chunk))
      child.on('error', (error) => resolve([error.message]))
      child.on('close', (code) =>
        resolve(code === 0 ? [] : [Buffer.concat(said).toString().trim() || `${path} ended with ${code}`]),
      )
    })
}

/** Has each script's own shell read it without running it; a script without a shell's name is bash by its ending. */
async function shellScripts(): Promise<string[]> {
  const scripts = files.flatMap((file) => {
    const shell = /^#!.*\b(bash|sh)\b/.exec(file.text)?.[1] ?? (file.path.endsWith('.bash') ? 'bash' : undefined)
    return shell ? [{ shell, path: file.path }] : []
  })
  const problems = await Promise.all(scripts.map(({ shell, path }) => program(shell, '-n', path)()))
  return problems.flat()
}

function matches(among: readonly RepositoryFile[], pattern: RegExp): string[] {
  return among.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map(
      ({ index, 0: found }) => `${path}:${text.slice(0, index).split('\n').length} ${found}`,
    ),
  )
}

/** Every file of the repository, with its text; what git ignores is left out by name. */
async function repositoryFiles(folder: string): Promise<RepositoryFile[]> {
  const found: RepositoryFile[] = []
  const waiting = [folder]
  for (let current = waiting.pop(); current !== undefined; current = waiting.pop()) {
    for (const entry of await readdir(join(root, current), { withFileTypes: true })) {
      const path = current === '.' ? entry.name : `${current}/${entry.name}`
      if (entry.isDirectory()) {
        if (!['node_modules', 'dist', '.git'].includes(entry.name)) waiting.push(path)
      } else if (entry.isFile() && !entry.name.endsWith('.log')) {
        const { size } = await stat(join(root, path))
        found.push({ path, sizeBytes: size, text: await readFile(join(root, path), 'utf8') })
      }
    }
  }
  return found
}
