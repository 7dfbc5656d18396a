/**
 * Every operation that is served, with each of its parameters wrong in every way that its type allows: missing, malformed, of
 * another type, out of range, unknown to its enumeration, or the name of what is not there. Made from the model, so that no
 * operation is forgotten. Whatever is answered is AWS's: a known code, a message, and never a fault of the server.
 */
import { describe, expect, test } from 'vitest'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { ec2Model, type Member, type Structure } from '../../src/api/ec2/model/model.ts'
import { iamHandlers } from '../../src/api/iam/handlers/index.ts'
import { iamModel } from '../../src/api/iam/model/model.ts'
import { stsHandlers } from '../../src/api/sts/handlers.ts'
import { stsModel } from '../../src/api/sts/model/model.ts'
import { catalogue } from '../../src/lib/errors.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud()
const account = '000000000009'
/** Of members within members. */
const deepest = 3

type Parameters = Readonly<Record<string, string>>

/** Ids of what is not there, by what parameters call it. */
const nowhere: readonly (readonly [name: RegExp, prefix: string])[] = [
  [/Image/, 'ami'],
  [/Instance/, 'i'],
  [/Volume/, 'vol'],
  [/Snapshot/, 'snap'],
  [/^Group|SecurityGroup/, 'sg'],
  [/Subnet/, 'subnet'],
  [/Vpc/, 'vpc'],
  [/RouteTable/, 'rtb'],
  [/Gateway/, 'igw'],
  [/NetworkInterface/, 'eni'],
  [/Allocation/, 'eipalloc'],
  [/LaunchTemplate/, 'lt'],
]

function idFor(name: string): string {
  const prefix = nowhere.find(([pattern]) => pattern.test(name))?.[1] ?? 'x'
  return `${prefix}-0123456789abcdef0`
}

function wrongValues({ name, shape, enumValues }: Member): string[] {
  const kind = shape.kind === 'list' ? shape.item.kind : shape.kind
  switch (kind) {
    case 'integer':
    case 'double':
      return ['abc', '-1', '99999999999999999999', '1.5', '']
    case 'boolean':
      return ['maybe', '']
    case 'timestamp':
      return ['yesterday', '9999-99-99T99:99:99Z']
    case 'blob':
      return ['***', 'AA==']
    default: {
      const ids = /Ids?$/.test(name) ? [idFor(name), 'i-xyz', "'; drop table instances; --"] : []
      return [
        ...ids,
        ...(enumValues ? ['no-such'] : []),
        '',
        'x'.repeat(3000),
        '../../etc/passwd',
        '\u0001\ud83d\ude00<&>',
      ]
    }
  }
}

/** The services whose model is known, and what each calls a parameter that is missing. */
const services = [
  { name: 'ec2', handlers: ec2Handlers, model: ec2Model(), missing: 'MissingParameter' },
  { name: 'iam', handlers: iamHandlers, model: iamModel(), missing: 'ValidationError' },
  { name: 'sts', handlers: stsHandlers, model: stsModel(), missing: 'ValidationError' },
] as const

const firstItem = (shape: Member['shape']) => (shape.kind !== 'list' ? '' : shape.isWrapped ? '.member.1' : '.1')

interface Place {
  path: string
  member: Member
}

/** Where the query form puts the members that hold a value, those of structures and of the first items of lists too. */
function* placesOf(structure: Structure, prefix = '', depth = 1): Generator<Place> {
  for (const member of structure.members) {
    const { shape, queryName } = member
    const inner = shape.kind === 'list' ? shape.item : shape
    const path = `${prefix}${queryName}${firstItem(shape)}`
    if (inner.kind !== 'structure') yield { path, member }
    else if (depth < deepest) yield* placesOf(inner.structure, `${path}.`, depth + 1)
  }
}

/** Something of the right kind for what must be there, so that another parameter is what is wrong. */
function required(structure: Structure): Parameters {
  const given: Record<string, string> = {}
  for (const member of structure.members.filter((one) => one.required)) {
    const { name, queryName, shape, enumValues } = member
    const inner = shape.kind === 'list' ? shape.item : shape
    const value = enumValues?.[0] ?? { integer: '1', boolean: 'true', double: '1' }[inner.kind as string] ?? idFor(name)
    if (inner.kind !== 'structure') given[`${queryName}${firstItem(shape)}`] = value
  }
  return given
}

async function ask(
  { name, model }: (typeof services)[number],
  action: string,
  parameters: Parameters,
): Promise<{ status: number; code?: string; text: string }> {
  const authorization = `AWS4-HMAC-SHA256 Credential=${account}/20260101/eu-west-1/${name}/aws4_request, SignedHeaders=host, Signature=0`
  const response = await fetch(served().url, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded', 'x-amz-date': '20260101T000000Z' },
    body: new URLSearchParams({ Action: action, Version: model.apiVersion, ...parameters }).toString(),
  })
  const text = await response.text()
  return { status: response.status, code: /<Code>([^<]*)<\/Code>/.exec(text)?.[1], text }
}

/** What was answered is a success, or a refusal in the service's form; what else it was. */
function flawOf({ status, code, text }: Awaited<ReturnType<typeof ask>>): string | undefined {
  if (status === 200) return undefined
  const message = /<Message>([^<]+)<\/Message>/.exec(text)?.[1]
  if (status >= 500) return `${status} ${code}: ${message}`
  if (code === undefined || !Object.hasOwn(catalogue, code)) return `${status} with the code ${code}`
  return message ? undefined : `${code} without a message`
}

describe.each(services)('every operation of $name that is served', (service) => {
  const { handlers, model, missing } = service
  const actions = Object.keys(handlers).sort()
  test('is known to the model', () => {
    expect(actions.filter((action) => !model.operation(action))).toEqual([])
  })

  test.each(actions)('%s answers whatever it is asked as AWS does', async (action) => {
    const { input } = model.operation(action)!
    const base = required(input)
    const flaws: string[] = []
    const tell = async (parameters: Parameters, what: string) => {
      const flaw = flawOf(await ask(service, action, parameters))
      if (flaw) flaws.push(`${what}: ${flaw}`)
    }
    await tell({}, 'nothing')
    await tell(base, 'only what is required')
    await tell({ ...base, NoSuchParameter: 'x' }, 'an unknown parameter')
    for (const { path, member } of placesOf(input)) {
      for (const value of wrongValues(member)) await tell({ ...base, [path]: value }, `${path}=${value.slice(0, 40)}`)
    }
    expect(flaws).toEqual([])
  })

  test.each(actions)('%s says which parameter is missing when one is', async (action) => {
    const { input } = model.operation(action)!
    const needs = input.members.filter((member) => member.required)
    if (needs.length === 0) return
    const { status, code, text } = await ask(service, action, {})
    expect([status, code]).toEqual([400, missing])
    const message = /<Message>([^<]+)<\/Message>/.exec(text)![1]!
    expect(needs.some(({ name, queryName }) => [name, queryName].some((word) => message.includes(word)))).toBe(true)
  })
})
