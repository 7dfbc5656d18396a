/**
 * Writes the files that are generated from AWS's own model and from our code: `npm run generate`. With `--check` it
 * writes nothing and fails when a committed file differs from what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ec2Handlers } from '../src/api/ec2/handlers/index.ts'
import { iamHandlers } from '../src/api/iam/handlers/index.ts'
import { stsHandlers } from '../src/api/sts/handlers.ts'
import { printCoverage } from './generation/coverage.ts'
import { compactModel, noPatches, operationSchemas, type Patches, printModel } from './generation/ec2-model.ts'
import { printOperationTypes, readMemberTypes, readOperationTypes } from './generation/type-declarations.ts'

const root = join(import.meta.dirname, '..')

interface Source {
  /** The last part of the client's package, and the folder below `src/api`: `ec2`. */
  service: string
  /** In front of `Operations`. */
  title: string
  apiVersion: string
  handlers: object
  /** Whether the service speaks AWS Query, and not EC2's own variety. */
  isQuery: boolean
}

const sources: readonly Source[] = [
  { service: 'ec2', title: 'Ec2', apiVersion: '2016-11-15', handlers: ec2Handlers, isQuery: false },
  { service: 'iam', title: 'Iam', apiVersion: '2010-05-08', handlers: iamHandlers, isQuery: true },
  { service: 'sts', title: 'Sts', apiVersion: '2011-06-15', handlers: stsHandlers, isQuery: true },
]

/** Every generated file, by its path from the root. */
function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>()
  const covered = sources.map((source) => {
    const { operations, printed } = filesOf(source)
    for (const [path, text] of printed) files.set(path, text)
    return { name: source.service.toUpperCase(), operations, served: new Set(Object.keys(source.handlers)) }
  })
  return files.set('docs/coverage.md', printCoverage(covered))
}

function filesOf({ service, title, apiVersion, handlers, isQuery }: Source): {
  operations: string[]
  printed: [path: string, text: string][]
} {
  const modelFolder = `src/api/${service}/model`
  const require = createRequire(import.meta.url)
  const clientFolder = join(dirname(require.resolve(`@aws-sdk/client-${service}`)), '..')
  const { name, version } = JSON.parse(readFileSync(join(clientFolder, 'package.json'), 'utf8'))
  const client: Record<string, unknown> = require(`@aws-sdk/client-${service}`)
  const typesFolder = join(clientFolder, 'dist-types')
  const patches = readIfThere(join(root, modelFolder, 'patches.json'))
  const operations = operationSchemas(client)

  const model = compactModel({
    source: `${name} ${version}`,
    apiVersion,
    operations,
    memberEnums: readMemberTypes(typesFolder),
    enumValues: (enumName) => {
      // The client exports an enumeration under `_Name` where a structure or command has the name already.
      const values = client[`_${enumName}`] ?? client[enumName]
      return typeof values === 'object' && values !== null && !Array.isArray(values) ? Object.values(values) : undefined
    },
    patches: patches === undefined ? noPatches : (JSON.parse(patches) as Patches),
    ...(isQuery && { query: { served: new Set(Object.keys(handlers)) } }),
  })
  const types = readOperationTypes(typesFolder)
  return {
    operations: operations.map(([, , operation]) => operation),
    printed: [
      [`${modelFolder}/model.generated.json`, printModel(model)],
      [`${modelFolder}/operations.generated.ts`, printOperationTypes(types, { source: model.source, service, title })],
    ],
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const checking = process.argv.includes('--check')
const stale = [...generatedFiles()].filter(([path, content]) => readIfThere(join(root, path)) !== content)
for (const [path, content] of stale) {
  if (!checking) writeFileSync(join(root, path), content)
  console.log(`${checking ? 'out of date' : 'written'}: ${path}`)
}
if (checking && stale.length > 0) {
  console.error('generated files differ from what they are generated from: run `npm run generate` and commit')
  process.exitCode = 1
}
