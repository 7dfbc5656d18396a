import { describe, expect, test } from 'vitest'
import { officialOperations, sampleOf, sentForm, understoodOutput } from '../../testing/official-client.ts'
import { ec2Model, type Shape } from '../model/model.ts'
import { decodeOutput, encodeInput } from './client-side.ts'
import { decodeInput } from './decode.ts'
import { encodeOutput } from './encode.ts'
import { parseForm } from './form.ts'

const model = ec2Model()
const requestId = '7b6a1c9e-0000-4000-8000-0123456789ab'

/** Bytes compare by content, whichever class holds them. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
  if (value instanceof Date) return value
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, comparable(inner)]))
  }
  return value
}

describe('every operation of EC2, judged by the official client', () => {
  test('is in the model', () => {
    expect(officialOperations.map((operation) => operation.name).sort()).toEqual([...model.operationNames].sort())
    expect(officialOperations.length).toBeGreaterThan(800)
  })

  test('is tried with a value for each of its members', () => {
    const unfilled = (shape: Shape, value: unknown, path: string): string[] => {
      if (value === undefined) return [path]
      if (shape.kind === 'list') return (value as unknown[]).flatMap((item) => unfilled(shape.item, item, path))
      if (shape.kind !== 'structure') return []
      const members = value as Record<string, unknown>
      return shape.structure.members.flatMap(({ name, shape }) => unfilled(shape, members[name], `${path}.${name}`))
    }
    for (const { name, input, output } of officialOperations) {
      const known = model.operation(name)!
      const sides = [
        [known.input, sampleOf(input, 'input', name)],
        [known.output, sampleOf(output, 'output', name)],
      ] as const
      for (const [structure, sample] of sides) {
        if (structure) expect(unfilled({ kind: 'structure', structure }, sample, name)).toEqual([])
      }
    }
  })

  test('what the client sends decodes to what its user gave', async () => {
    for (const { name, input } of officialOperations) {
      const sample = sampleOf(input, 'input', name)
      const form = parseForm(await sentForm(name, sample))
      expect(form.get('Action')).toBe(name)
      expect(comparable(decodeInput(model.operation(name)!, form)), name).toStrictEqual(comparable(sample))
    }
  })

  test('what we answer reads in the client as the handler gave it', async () => {
    for (const { name, output } of officialOperations) {
      const sample = sampleOf(output, 'output', name)
      const xml = encodeOutput(model.operation(name)!, sample, requestId)
      expect(comparable(await understoodOutput(name, xml)), name).toStrictEqual(comparable(sample))
    }
  })

  test('our own client side sends what the official client sends, and reads what it reads', async () => {
    for (const { name, input, output } of officialOperations) {
      const operation = model.operation(name)!
      const sent = sampleOf(input, 'input', name)
      const official = parseForm(await sentForm(name, sent))
      const own = parseForm(encodeInput(operation, sent, model.apiVersion))
      expect(comparable(decodeInput(operation, own)), name).toStrictEqual(comparable(decodeInput(operation, official)))
      expect([...own.keys()].sort(), name).toEqual([...official.keys()].sort())

      const answered = sampleOf(output, 'output', name)
      const read = decodeOutput(operation, encodeOutput(operation, answered, requestId))
      expect(comparable(read), name).toStrictEqual(comparable(answered))
    }
  })
})
