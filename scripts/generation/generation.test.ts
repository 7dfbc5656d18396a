import { describe, expect, test } from 'vitest'
import { printCoverage } from './coverage.ts'
import { compactModel, noPatches, printModel } from './ec2-model.ts'
import { printOperationTypes } from './type-declarations.ts'

// The notation of the official client's schemas, in small.
const inner = [3, 'ns', 'Inner', 0, ['Size', 'Share'], [1, 1]]
const request = [
  3,
  'ns',
  'DoRequest',
  0,
  ['Name', 'Mode', 'Inners', 'When'],
  [
    0,
    [0, { xmlName: 'mode', ec2QueryName: 'Mode' }],
    [() => [1, 'ns', 'InnerList', 0, [() => inner, { xmlName: 'item' }]], { xmlName: 'Inner' }],
    4,
  ],
  1,
]
const result = [3, 'ns', 'DoResult', 0, ['Names', 'Inner'], [[64, { xmlName: 'nameSet' }], () => inner]]
const patches = { doubles: { why: '', members: ['Inner.Share'] }, openEnums: { Open: { why: '' } } }
const source = {
  source: 'client 1',
  apiVersion: '2016-11-15',
  operations: [[9, 'ns', 'Do', 0, () => request, () => result]] as never,
  memberEnums: new Map([
    [
      'DoRequest',
      new Map([
        ['Mode', 'Mode'],
        ['Name', 'Open'],
      ]),
    ],
  ]),
  enumValues: (name: string) => ({ Mode: ['fast', 'slow'], Open: ['x'] })[name],
  patches,
}

describe('the generator', () => {
  test('keeps of a schema what the codec needs', () => {
    const model = compactModel(source)
    expect(model).toEqual({
      source: 'client 1',
      apiVersion: '2016-11-15',
      operations: { Do: 'DoRequest DoResult' },
      structures: {
        DoRequest: ['Name! string', 'Mode string e=Mode', 'Inners [item]Inner q=Inner', 'When timestamp'],
        DoResult: ['Names [member]string x=nameSet', 'Inner Inner x=Inner'],
        Inner: ['Size integer x=Size', 'Share double x=Share'],
      },
      enums: { Mode: ['fast', 'slow'] },
    })
    expect(JSON.parse(printModel(model))).toEqual(model)
  })

  test('keeps of AWS Query the names as they are, maps, and of what is not served the name alone', () => {
    const answer = [3, 'ns', 'DoResult', 0, ['Counts'], [129]]
    const operations = [
      [9, 'ns', 'Do', 0, () => request, () => answer],
      [9, 'ns', 'Other', 0, 'unit', () => result],
    ] as never
    const model = compactModel({ ...source, operations, query: { served: new Set(['Do']) }, patches: noPatches })
    expect(model.others).toEqual(['Other'])
    expect(model.structures).toEqual({
      DoRequest: ['Name! string e=Open', 'Mode string e=Mode', 'Inners [item]Inner', 'When timestamp'],
      DoResult: ['Counts {}integer'],
      Inner: ['Size integer', 'Share integer'],
    })
    expect(JSON.parse(printModel(model))).toEqual(model)
  })

  test('refuses corrections of what is not there', () => {
    const doubles = { ...patches, doubles: { why: '', members: ['Inner.Share', 'Inner.Gone'] } }
    expect(() => compactModel({ ...source, patches: doubles })).toThrow(/Inner\.Gone/)
    const openEnums = { ...patches, openEnums: { Gone: { why: '' } } }
    expect(() => compactModel({ ...source, patches: openEnums })).toThrow(/Gone/)
  })

  test('prints the types of operations, with and without output', () => {
    const text = printOperationTypes(
      new Map([
        ['Reboot', { input: 'RebootRequest', output: null }],
        ['Do', { input: 'DoRequest', output: 'DoResult' }],
      ]),
      { source: 'client 1', service: 'ec2', title: 'Ec2' },
    )
    expect(text).toContain('  Do: { input: ec2.DoRequest; output: ec2.DoResult }\n  Reboot: {')
    expect(text).toContain('input: ec2.RebootRequest; output: Record<string, never> }')
  })

  test('prints coverage, and refuses a handler for what EC2 does not have', () => {
    const covered = (operations: string[], served: string[]) =>
      printCoverage([{ name: 'EC2', operations, served: new Set(served) }])
    const text = covered(['A', 'B', 'C', 'D', 'E'], ['B'])
    expect(text).toContain('Kiln serves 1 of the 5 operations')
    expect(text).toContain('## Served\n\n| | | |\n| --- | --- | --- |\n| B | | |\n')
    expect(text).toContain('| A | C | D |\n| E | | |\n')
    expect(() => covered(['A'], ['Z'])).toThrow(/Z/)
  })
})
