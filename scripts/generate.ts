/**
 * Writes the files that are generated from AWS's own model and from our code: `npm run generate`. With `--check` it
 * writes nothing and fails when a committed file differs from what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ec2Handlers } from '../src/api/ec2/handlers/index.ts'
import { printCoverage } from './generation/coverage.ts'
import { compactModel, operationSchemas, type Patches, printModel } from './generation/ec2-model.ts'
import { printOperationTypes, readMemberTypes, readOperationTypes } from './generation/type-declarations.ts'

const root = join(import.meta.dirname, '..')
const modelFolder = 'src/api/ec2/model'

/** Every generated file, by its path from the root. */
function generatedFiles(): Map<string, string> {
  const require = createRequire(import.meta.url)
  const clientFolder = join(dirname(require.resolve('@aws-sdk/client-ec2')), '..')
  const { name, version } = JSON.parse(readFileSync(join(clientFolder, 'package.json'), 'utf8'))
  const client: Record<string, unknown> = require('@aws-sdk/client-ec2')
  const typesFolder = join(clientFolder, 'dist-types')
  const patches: Patches = JSON.parse(readFileSync(join(root, modelFolder, 'patches.json'), 'utf8'))
  const operations = operationSchemas(client)

  const model = compactModel({
    source: `${name} ${version}`,
    apiVersion: '2016-11-15',
    operations,
    memberEnums: readMemberTypes(typesFolder),
    enumValues: (enumName) => {
      // The client exports an enumeration under `_Name` where a structure or command has the name already.
      const values = client[`_${enumName}`] ?? client[enumName]
      return typeof values === 'object' && values !== null && !Array.isArray(values) ? Object.values(values) : undefined
    },
    patches,
  })
  return new Map([
    [`${modelFolder}/model.generated.json`, printModel(model)],
    [`${modelFolder}/operations.generated.ts`, printOperationTypes(readOperationTypes(typesFolder), model.source)],
    ['docs/coverage.md', printCoverage(Object.keys(model.operations), new Set(Object.keys(ec2Handlers)))],
  ])
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
