/**
 * The official EC2 client as the judge of our codec: what it sends, what it understands, and sample values for every
 * operation, made by walking the client's own schemas rather than our model.
 */
import * as sdk from '@aws-sdk/client-ec2'
import { ec2Model, type Member, type Structure } from '../ec2/model/model.ts'

type SchemaRef = unknown
type Sample = Record<string, unknown>

export interface OfficialOperation {
  name: string
  input: SchemaRef
  output: SchemaRef
}

export const officialOperations: readonly OfficialOperation[] = Object.values(sdk as Record<string, unknown>)
  .filter((value): value is unknown[] => Array.isArray(value) && value[0] === 9)
  .map((schema) => ({ name: schema[2] as string, input: schema[4], output: schema[5] }))

/** Characters that each layer must carry: separators, percent, plus, markup, two and four bytes of UTF-8. */
const oddText = 'a&b=c+d %2F<e>"\'.1 é😀'

/** A value for every member, two for lists of single values; enumerations and fractions as our model knows them. */
export function sampleOf(ref: SchemaRef, side: 'input' | 'output', operation: string): Sample {
  const model = ec2Model().operation(operation)!
  const structure = side === 'input' ? model.input : model.output
  const value = sampleValue(ref, structure && { shape: { kind: 'structure', structure } }, { count: 0 })
  return (value ?? {}) as Sample
}

type Hint = Pick<Member, 'shape'> & Partial<Member>

function sampleValue(ref: SchemaRef, hint: Hint | undefined, counter: { count: number }): unknown {
  let schema = typeof ref === 'function' ? ref() : ref
  if (Array.isArray(schema) && schema.length === 2) {
    schema = schema[0]
    if (typeof schema === 'function') schema = schema()
  }
  counter.count++
  if (typeof schema === 'number') {
    if (schema & 64)
      return [sampleScalar(schema - 64, itemHint(hint), counter), sampleScalar(schema - 64, itemHint(hint), counter)]
    return sampleScalar(schema, hint, counter)
  }
  if (!Array.isArray(schema)) return undefined
  switch (schema[0]) {
    case 3: {
      const known: Structure | undefined = hint?.shape.kind === 'structure' ? hint.shape.structure : undefined
      const names = schema[4] as string[]
      return Object.fromEntries(names.map((name, i) => [name, sampleValue(schema[5][i], known?.member(name), counter)]))
    }
    case 1: {
      const item = () => sampleValue(schema[4], itemHint(hint), counter)
      const first = item()
      return typeof first === 'object' ? [first] : [first, item()]
    }
    default:
      return sampleScalar(schema[4], hint, counter)
  }
}

function itemHint(hint: Hint | undefined): Hint | undefined {
  return hint?.shape.kind === 'list' ? { ...hint, shape: hint.shape.item } : undefined
}

function sampleScalar(kind: number, hint: Hint | undefined, counter: { count: number }): unknown {
  const n = counter.count++
  switch (kind) {
    case 0:
      return hint?.enumValues ? hint.enumValues[n % hint.enumValues.length] : `${oddText}${n}`
    case 1:
      return hint?.shape.kind === 'double' ? n + 0.5 : n - 3
    case 2:
      return n % 2 === 0
    case 4:
      return new Date(Date.UTC(2024, 1, 29, 12, 30, 15, n % 1000))
    case 21:
      return Uint8Array.from([0, 255, n % 256])
    default:
      throw new Error(`no sample for the kind ${kind}`)
  }
}

interface CapturedRequest {
  method: string
  path: string
  headers: Record<string, string>
  body: string
}

type Answer = { statusCode: number; body: string }

/** An official client whose requests go to `answer` instead of the network. */
export function officialClient(answer: (request: CapturedRequest) => Answer): sdk.EC2Client {
  return new sdk.EC2Client({
    region: 'eu-central-1',
    endpoint: 'http://127.0.0.1:1',
    credentials: { accessKeyId: '111122223333', secretAccessKey: 'secret' },
    maxAttempts: 1,
    requestHandler: {
      async handle(request: CapturedRequest) {
        const { statusCode, body } = answer(request)
        return {
          response: { statusCode, headers: { 'content-type': 'text/xml' }, body: new TextEncoder().encode(body) },
        } as never
      },
    },
  })
}

/** The command of an operation, by name. */
export function commandFor(operation: string, input: object): never {
  const commands = sdk as unknown as Record<string, new (input: object) => unknown>
  return new commands[`${operation}Command`]!(input) as never
}

/** What the official client sends for that input. */
export async function sentForm(operation: string, input: object): Promise<string> {
  let form = ''
  const client = officialClient((request) => {
    form = request.body
    return { statusCode: 200, body: `<${operation}Response/>` }
  })
  await client.send(commandFor(operation, input))
  return form
}

/** What the official client makes of that XML. */
export async function understoodOutput(operation: string, xml: string): Promise<Sample> {
  const client = officialClient(() => ({ statusCode: 200, body: xml }))
  const { $metadata: _, ...output } = (await client.send(commandFor(operation, {}))) as unknown as Sample
  return output
}
