import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isKilnError } from '../../../lib/errors.ts'
import { readClientToken } from './client-tokens.ts'
import { readFilters } from './filters.ts'
import { type RequestedKind, readId, readIds } from './ids.ts'
import { nextTokenOf, readPage } from './pagination.ts'
import { readTagSpecifications, readTags } from './tag-specifications.ts'

const place = { accountId: '123456789012', region: 'eu-west-1' }

function refusal(call: () => unknown): string {
  try {
    return `accepted ${JSON.stringify(call())}`
  } catch (error) {
    if (!isKilnError(error)) throw error
    return `${error.code}: ${error.message}`
  }
}

describe('filters', () => {
  test('come as names and values', () => {
    expect(readFilters(undefined)).toEqual([])
    expect(readFilters([{ Name: 'tag:Name', Values: ['a', ''] }])).toEqual([{ name: 'tag:Name', values: ['a', ''] }])
  })

  test('are refused without name or value, and beyond their bounds', () => {
    expect(refusal(() => readFilters([{ Values: ['a'] }]))).toBe("InvalidParameterValue: The filter 'null' is invalid")
    expect(refusal(() => readFilters([{ Name: 'name', Values: [] }]))).toBe(
      "InvalidParameterValue: The filter 'name' must have a value",
    )
    const filters = (count: number, values: number) =>
      Array.from({ length: count }, () => ({ Name: 'name', Values: Array.from({ length: values }, () => 'x') }))
    expect(readFilters(filters(50, 200))).toHaveLength(50)
    expect(refusal(() => readFilters(filters(51, 1)))).toMatch(/^FilterLimitExceeded/)
    expect(refusal(() => readFilters(filters(1, 201)))).toMatch(/^FilterLimitExceeded/)
  })
})

describe('pages', () => {
  const read = (input: Parameters<typeof readPage>[1], rules?: Parameters<typeof readPage>[3]) =>
    readPage('DescribeImages', input, place, rules)

  test('hold 1000 unless told', () => {
    expect(read({})).toEqual({ limit: 1000 })
    expect(read({ MaxResults: 5 })).toEqual({ limit: 5 })
    expect(read({ MaxResults: 1 }, { min: 1, max: 100 })).toEqual({ limit: 1 })
  })

  test('are bounded, and do not go with ids', () => {
    expect(refusal(() => read({ MaxResults: 4 }))).toBe(
      'InvalidParameterValue: Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5.',
    )
    expect(refusal(() => read({ MaxResults: 1001 }))).toMatch(/^InvalidParameterValue: .* less than 1000\.$/)
    const ids = { parameter: 'instancesSet', given: ['i-1'] }
    expect(refusal(() => read({ MaxResults: 5 }, { ids }))).toBe(
      'InvalidParameterCombination: The parameter instancesSet cannot be used with the parameter maxResults',
    )
    expect(read({ MaxResults: 5 }, { ids: { ...ids, given: [] } })).toEqual({ limit: 5 })
    expect(read({}, { ids })).toEqual({ limit: 1000 })
  })

  test('follow one another by a token, whatever the cursor', () => {
    expect(nextTokenOf('DescribeImages', place, null)).toBeUndefined()
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (cursor) => {
        expect(read({ NextToken: nextTokenOf('DescribeImages', place, cursor) })).toEqual({
          limit: 1000,
          after: cursor,
        })
      }),
    )
  })

  test('refuse a token that was changed, made up, or is of another operation, account or region', () => {
    const token = nextTokenOf('DescribeImages', place, '1700000000000:ami-1')!
    const refused = 'InvalidPaginationToken: The provided pagination token is invalid'
    for (let at = 0; at < token.length; at++) {
      const changed = token.slice(0, at) + (token[at] === 'x' ? 'y' : 'x') + token.slice(at + 1)
      expect(refusal(() => read({ NextToken: changed }))).toBe(refused)
    }
    for (const made of ['', 'x', `${token}A`, token.slice(0, -1), '1700000000000:ami-1']) {
      expect(refusal(() => read({ NextToken: made }))).toBe(refused)
    }
    expect(refusal(() => readPage('DescribeTags', { NextToken: token }, place))).toBe(refused)
    expect(refusal(() => readPage('DescribeImages', { NextToken: token }, { ...place, accountId: '1' }))).toBe(refused)
    expect(refusal(() => readPage('DescribeImages', { NextToken: token }, { ...place, region: 'us-east-1' }))).toBe(
      refused,
    )
  })
})

describe('tags', () => {
  test('come by the kind of resource', () => {
    const specifications = [
      { ResourceType: 'instance' as const, Tags: [{ Key: 'Name', Value: 'a' }, { Key: 'empty' }] },
    ]
    expect(readTagSpecifications(specifications, ['instance', 'volume'])).toEqual({
      instance: [
        { key: 'Name', value: 'a' },
        { key: 'empty', value: '' },
      ],
      volume: [],
    })
    expect(readTagSpecifications(undefined, ['image'])).toEqual({ image: [] })
  })

  test.each([
    [[{ ResourceType: 'volume', Tags: [{ Key: 'a' }] }], /'volume' is not a valid taggable resource type/],
    [[{ Tags: [{ Key: 'a' }] }], /resource type must have a value/],
    [[{ ResourceType: 'image', Tags: [] }], /at least one tag/],
    [
      [
        { ResourceType: 'image', Tags: [{ Key: 'a' }] },
        { ResourceType: 'image', Tags: [{ Key: 'b' }] },
      ],
      /same resource type/,
    ],
  ] as const)('%j is refused', (specifications, message) => {
    expect(refusal(() => readTagSpecifications(specifications as never, ['image', 'snapshot']))).toMatch(message)
  })

  test('keep to EC2’s rules', () => {
    const long = (length: number) => 'é'.repeat(length)
    expect(readTags([{ Key: long(128), Value: long(256) }])).toHaveLength(1)
    expect(refusal(() => readTags([{ Key: long(129) }]))).toMatch(/^InvalidParameterValue: .*128/)
    expect(refusal(() => readTags([{ Key: 'a', Value: long(257) }]))).toMatch(/^InvalidParameterValue: .*256/)
    expect(refusal(() => readTags([{ Key: '' }]))).toMatch(/^InvalidParameterValue/)
    for (const reserved of ['aws:x', 'AWS:x', 'Aws:']) {
      expect(refusal(() => readTags([{ Key: reserved }]))).toBe(
        "InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use",
      )
    }
    expect(readTags([{ Key: 'awsome' }])).toEqual([{ key: 'awsome', value: '' }])
    expect(refusal(() => readTags([{ Key: 'a' }, { Key: 'a', Value: 'b' }]))).toMatch(
      /^InvalidParameterValue: Duplicate/,
    )
    const many = (count: number) => Array.from({ length: count }, (_, i) => ({ Key: `k${i}` }))
    expect(readTags(many(50))).toHaveLength(50)
    expect(refusal(() => readTags(many(51)))).toMatch(/^TagLimitExceeded/)
  })
})

describe('ids', () => {
  test.each<[RequestedKind, string, string]>([
    ['image', 'foo', 'InvalidAMIID.Malformed: Invalid id: "foo" (expecting "ami-...")'],
    ['instance', 'i-XYZ', 'InvalidInstanceID.Malformed: Invalid id: "i-XYZ" (expecting "i-...")'],
    ['volume', 'snap-12345678', 'InvalidVolumeID.Malformed: Invalid id: "snap-12345678" (expecting "vol-...")'],
    ['securityGroup', '', 'InvalidGroupId.Malformed: Invalid id: "" (expecting "sg-...")'],
  ])('a malformed %s id is called so', (kind, id, expected) => {
    expect(refusal(() => readId(kind, id))).toBe(expected)
  })

  test('in both lengths are taken, and none asked for is none', () => {
    expect(readId('image', 'ami-12345678')).toBe('ami-12345678')
    expect(readIds('instance', ['i-0123456789abcdef0'])).toEqual(['i-0123456789abcdef0'])
    expect(readIds('instance', [])).toBeUndefined()
    expect(readIds('instance', undefined)).toBeUndefined()
  })
})

describe('client tokens', () => {
  test('come with a hash that only the parameters decide', () => {
    const hash = (input: object) => readClientToken({ ClientToken: 't', ...input })!.paramsHash
    const base = { ImageId: 'ami-1', Tags: [{ Key: 'a', Value: 'b' }], At: new Date(5), Bytes: Buffer.from('x') }
    expect(hash({ ...base, DryRun: false })).toBe(hash(base))
    expect(
      hash({ Bytes: Uint8Array.from([120]), At: new Date(5), Tags: [{ Value: 'b', Key: 'a' }], ImageId: 'ami-1' }),
    ).toBe(hash(base))
    expect(hash({ ...base, KeyName: undefined })).toBe(hash(base))
    expect(readClientToken({ ClientToken: 'other', ...base } as never)!.paramsHash).toBe(hash(base))
    for (const change of [
      { ImageId: 'ami-2' },
      { Tags: [] },
      { At: new Date(6) },
      { Bytes: Buffer.from('y') },
      { X: null },
    ]) {
      expect(hash({ ...base, ...change })).not.toBe(hash(base))
    }
  })

  test('are at most 64 ASCII characters', () => {
    expect(readClientToken({})).toBeUndefined()
    expect(readClientToken({ ClientToken: '' })).toBeUndefined()
    expect(readClientToken({ ClientToken: 'x'.repeat(64) })?.token).toHaveLength(64)
    expect(refusal(() => readClientToken({ ClientToken: 'x'.repeat(65) }))).toMatch(/^InvalidParameterValue/)
    expect(refusal(() => readClientToken({ ClientToken: 'é' }))).toMatch(/^InvalidParameterValue/)
  })
})
