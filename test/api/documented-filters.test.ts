/** Every filter that EC2 documents for an operation that Kiln serves is taken: the list is read from AWS's own declarations. */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { EC2ServiceException } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  await caller.launch()
})

/**
 * Free addresses are counted when a subnet is told, and no column of its row holds them. Of the fleets that there are,
 * `DescribeFleets` tells the instances, as on EC2.
 */
const notTaken = new Set(['DescribeSubnets available-ip-address-count', 'DescribeFleetInstances instance-type'])

/** What an operation must be told beside its filters. */
const required: Readonly<Record<string, object>> = { DescribeLaunchTemplateVersions: { Versions: ['$Latest'] } }

const client = createRequire(import.meta.url).resolve('@aws-sdk/client-ec2')
const folder = join(dirname(client), '..', 'dist-types', 'models')
const declarations = readdirSync(folder)
  .filter((name) => name.startsWith('models_'))
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n')

/** `<code>name</code> - what it is`, as the documentation of `Filters` lists them. Lists within lists are of values. */
function documentedFilters(operation: string): string[] {
  const start = declarations.indexOf(`export interface ${operation}Request {`)
  const request = declarations.slice(start, declarations.indexOf('\n}', start))
  const end = request.search(/\n\s+Filters\?:/)
  const text = start < 0 || end < 0 ? '' : request.slice(request.lastIndexOf('/**', end), end)
  const names = new Set<string>()
  let depth = 0
  for (const [piece, name] of text.matchAll(/<\/?ul>|<code>([\w.-]+)(?::<key>)?<\/code>(?::<key>)?[\s*]*[-–]/g)) {
    if (piece === '<ul>') depth++
    else if (piece === '</ul>') depth--
    // `tag` is written for `tag:` and a key.
    else if (depth === 1) names.add(name === 'tag' ? 'tag:a' : name!)
  }
  return [...names]
}

const operations = Object.keys(ec2Handlers).filter((operation) => documentedFilters(operation).length > 0)

test('the declarations were read', () => {
  expect(operations.length).toBeGreaterThanOrEqual(17)
  expect(documentedFilters('DescribeInstances')).toEqual(expect.arrayContaining(['platform', 'tag:a', 'vpc-id']))
})

/** A text, a flag, a number and a time: one of them is a value of the filter. */
const values = ['x', 'true', '1', '2026-11-24T00:00:00.000Z']

test.each(operations)('%s', async (operation) => {
  const refused: string[] = []
  for (const name of documentedFilters(operation)) {
    const answers = values.map((value) =>
      caller.ec2
        .send(commandFor(operation, { ...required[operation], Filters: [{ Name: name, Values: [value] }] }))
        .then(
          () => 'taken',
          (error: EC2ServiceException) => error.name,
        ),
    )
    const codes = await Promise.all(answers)
    expect(codes).not.toContain('InternalError')
    if (!codes.includes('taken') && !notTaken.has(`${operation} ${name}`)) refused.push(name)
  }
  expect(refused).toEqual([])
})
