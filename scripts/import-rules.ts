/**
 * The rules of the house, as a table: which room may import which, and what only one room may touch. `docs` calls the
 * folders of `src` rooms; `src/server.ts` wires them all. {@link violations} is pure: files in, complaints out.
 */

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  path: string
  text: string
}

export interface Violation {
  path: string
  line: number
  message: string
}

/** Room → the rooms, or the parts of rooms, that it may import besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  blocks: ['lib'],
  machines: ['lib'],
  network: ['lib'],
  objects: ['lib'],
  bundles: ['lib'],
  prices: ['lib'],
  builder: ['bundles', 'lib'],
  state: ['lib'],
  operations: ['state', 'lib'],
  cloud: ['operations', 'state', 'bundles', 'prices', 'lib'],
  api: ['cloud', 'lib'],
  cli: [
    'api/ec2/codec',
    'api/ec2/model',
    'api/signature',
    'builder/catalogue',
    'builder/debian',
    'bundles',
    'prices',
    'lib',
  ],
}

/** Ports: types alone may cross here. */
const mayImportTypes: readonly { from: string; to: readonly string[] }[] = [
  {
    from: 'cloud/ports.ts',
    to: ['machines/driver.ts', 'network/driver.ts', 'blocks/ports.ts', 'blocks/store.ts', 'objects/store.ts'],
  },
  { from: 'machines/', to: ['network/driver.ts'] },
  { from: 'cli/', to: ['server.ts'] },
]

/** `serve` alone needs the server, and the other commands should not wait for it to load. */
const mayImportLazily = [{ from: 'cli/', to: 'server.ts' }]

/** Modules that few may import. Prefixes of paths below `src`; tests are named by `tests`. */
const doors: readonly { module: RegExp; name: string; through: readonly string[]; tests: boolean }[] = [
  { module: /^node:child_process$/, name: 'node:child_process', through: ['lib/programs.ts'], tests: false },
  {
    module: /^src\/lib\/programs\.ts$/,
    name: 'lib/programs.ts',
    through: ['machines/qemu/', 'network/', 'builder/', 'cli/', 'server.ts'],
    tests: true,
  },
  { module: /^(kysely|pg|node:sqlite)(\/|$)/, name: 'the database', through: ['state/'], tests: true },
]

/** Rooms whose code runs in simulations, on a clock and a chance that are given to it. */
const simulatedRooms = ['cloud', 'operations', 'state']
const realTimeAndChance: readonly { pattern: RegExp; instead: string }[] = [
  { pattern: /\bDate\.now\(/, instead: 'the Clock of lib/clock.ts' },
  { pattern: /\bnew Date\(\s*\)/, instead: 'the Clock of lib/clock.ts' },
  { pattern: /\b(setTimeout|setInterval|setImmediate)\(/, instead: 'the Clock of lib/clock.ts' },
  { pattern: /\bperformance\.now\(/, instead: 'the Clock of lib/clock.ts' },
  { pattern: /\bMath\.random\(/, instead: 'the Random of lib/random.ts' },
  { pattern: /\b(randomUUID|randomBytes)\(/, instead: 'the Random of lib/random.ts' },
]

/** Names of AWS's wire as member or property: `.ImageId`, `ImageId:`. Types in Pascal case are ours to name. */
const wireNames =
  /(?:\.|\b)((?:Image|Instance|Volume|Snapshot|Vpc|Subnet|Group|Allocation|Reservation|Owner|KeyPair)Ids?|BlockDeviceMappings?|TagSpecifications?|NextToken|MaxResults|DryRun|ClientToken|UserData|KeyName)\b(?=\s*\??:)|\.((?:Image|Instance|Volume|Snapshot|Vpc|Subnet|Owner)Ids?|NextToken|MaxResults|DryRun)\b/
const wireRooms = ['api', 'cli']

export function violations(files: readonly SourceFile[]): Violation[] {
  return files.filter((file) => /^src\/.*\.ts$/.test(file.path)).flatMap(violationsOf)
}

function violationsOf(file: SourceFile): Violation[] {
  const below = file.path.slice('src/'.length)
  const room = roomOf(below)
  const found: Violation[] = []
  const complain = (index: number, message: string) =>
    found.push({ path: file.path, line: file.text.slice(0, index).split('\n').length, message })

  for (const one of importsOf(file.text)) {
    const target = resolve(file.path, one.specifier)
    for (const door of doors) {
      if (!door.module.test(target) || one.typeOnly) continue
      const allowed = door.through.some((prefix) => below.startsWith(prefix)) || (door.tests && isTest(below))
      if (!allowed) complain(one.index, `imports ${door.name}, which only ${door.through.join(', ')} may`)
    }
    if (target.startsWith('src/') && room !== 'server.ts' && !mayReach(below, room, target.slice(4), one)) {
      complain(one.index, `imports ${target.slice(4)}, which ${room} may not`)
    }
  }

  if (isTest(below)) return found
  const code = withoutTexts(file.text)
  if (simulatedRooms.includes(room)) {
    for (const { pattern, instead } of realTimeAndChance) {
      const match = pattern.exec(code)
      if (match) complain(match.index, `uses ${match[0].replace(/\($/, '')} instead of ${instead}`)
    }
  }
  if (!wireRooms.includes(room)) {
    const match = wireNames.exec(code)
    if (match) complain(match.index, `speaks of ${match[1] ?? match[2]}: AWS's names belong to api`)
  }
  return found
}

function mayReach(below: string, room: string, target: string, one: Import): boolean {
  if (room === roomOf(target)) return true
  const within = (prefix: string) => target === prefix || target.startsWith(`${prefix}/`)
  if ((mayImport[room] ?? []).some(within)) return true
  if (one.lazy && mayImportLazily.some(({ from, to }) => below.startsWith(from) && target === to)) return true
  return one.typeOnly && mayImportTypes.some(({ from, to }) => below.startsWith(from) && to.includes(target))
}

/** The first folder below `src`, or the file itself when it lies in none. */
function roomOf(below: string): string {
  return below.split('/')[0]!
}

/** Tests, and what only tests import. */
function isTest(below: string): boolean {
  return /\.(test|suite|fixture)\.ts$|\/test-[^/]*\.ts$|\/testing\//.test(below)
}

interface Import {
  specifier: string
  index: number
  typeOnly: boolean
  lazy: boolean
}

/** Imports and re-exports as our formatter writes them: statements begin a line, and specifiers are quoted. */
function importsOf(text: string): Import[] {
  const statements = /^(?:import|export)\s+(type\s+)?(?:([^'";=]*?)\s+from\s+)?['"]([^'"]+)['"]/gm
  const calls = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g
  return [
    ...[...text.matchAll(statements)].map(({ index, 1: type, 2: names, 3: specifier }) => ({
      specifier: specifier!,
      index,
      typeOnly: type !== undefined || namesOnlyTypes(names),
      lazy: false,
    })),
    ...[...text.matchAll(calls)].map(({ index, 1: specifier }) => ({
      specifier: specifier!,
      index,
      // `import('…').Name` in a type position loads nothing.
      typeOnly: /^\)\.[A-Z]/.test(text.slice(text.indexOf(')', index))),
      lazy: true,
    })),
  ]
}

/** `{ type A, type B }` */
function namesOnlyTypes(names: string | undefined): boolean {
  const inside = /^\{([^}]*)\}$/.exec(names?.trim() ?? '')?.[1]
  if (inside === undefined) return false
  const parts = inside.split(',').map((part) => part.trim())
  return parts.every((part) => part === '' || part.startsWith('type '))
}

/** A relative specifier as a path from the repository's root; a package's name as it is. */
function resolve(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

/** The code with comments and strings blanked, so that places stay where they were. */
function withoutTexts(text: string): string {
  const texts = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return text.replace(texts, (match) => match.replace(/[^\n]/g, ' '))
}
