import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { regionNames } from '../lib/regions.ts'
import { ratio, shortText } from './money.ts'
import { anyRegion, type Price, PriceSheet, sheetLimits } from './sheet.ts'
import { writeCsvSheet } from './sheet-csv.ts'
import { writeJsonSheet } from './sheet-json.ts'
import { BadPriceSheet } from './sheet-problems.ts'
import { readPriceSheet } from './sheets.ts'
import { type Rounding, usageTypeFacts } from './usage-types.ts'

const read = (text: string) => readPriceSheet(Buffer.from(text))

const csvHead = `format,kiln-price-sheet
version,1
currency,EUR
asOf,2026-11-01
source,"Rates of the lab, agreed"
region,usageType,unit,price,rounding
`

/** A sheet in JSON; what is undefined is left out. */
function json(change: Record<string, unknown> = {}, row: unknown = { unit: 'Hrs', price: '0.0104' }): string {
  const head = { format: 'kiln-price-sheet', version: 1, currency: 'USD', asOf: '2026-11-01', source: 'a test' }
  return JSON.stringify({ ...head, prices: { 'us-east-1': { 'BoxUsage:t3.micro': row } }, ...change }, null, 1)
}

/** What is wrong with it. */
function problems(text: string): string[] {
  try {
    read(text)
  } catch (error) {
    if (error instanceof BadPriceSheet) return error.message.split('\n')
    throw error
  }
  return []
}

describe('a sheet in CSV', () => {
  test('is read, with the roundings of AWS where it has none', () => {
    const { head, prices } = read(`${csvHead}eu-west-1,BoxUsage:t3.micro,Hrs,0.02,hour
eu-west-1,EBS:SnapshotUsage,GB-Mo,0.05,
*,BoxUsage:t3.micro,Hrs,0.03
`)
    expect(head).toEqual({ currency: 'EUR', asOf: '2026-11-01', source: 'Rates of the lab, agreed' })
    const told = [...prices].map(([region, rows]) => [
      region,
      [...rows].map(([name, { unit, price, rounding }]) => `${name} ${shortText(price, 4)} ${unit} ${rounding}`),
    ])
    expect(told).toEqual([
      ['eu-west-1', ['BoxUsage:t3.micro 0.02 Hrs hour', 'EBS:SnapshotUsage 0.05 GB-Mo none']],
      [anyRegion, ['BoxUsage:t3.micro 0.03 Hrs second']],
    ])
  })

  test('every wrong thing is told at once, with line and column', () => {
    const text = `${csvHead}mars-1,BoxUsage:t3.micro,Hrs,0.02,
us-east-1,BoxUsage:t3.micro,GB,0.02,
us-east-1,Nothing,Hrs,0.02,
us-east-1,BoxUsage:t3.small,Hrs,-0.02,
us-east-1,BoxUsage:t3.nano,Hrs,1e3,minute
us-east-1,BoxUsage:t3.nano,Hrs,0.01,,
us-east-1,DataTransfer-Regional-Out,GB,0.02,hour,x,y
`
    expect(problems(text)).toEqual([
      "line 7, region: there is no region 'mars-1'; * is for any",
      "line 8, unit: must be Hrs, not 'GB'",
      "line 9, usageType: there is no usage type 'Nothing'",
      'line 10, price: may not be negative: -0.02',
      "line 11, price: must be a decimal number of at most 15.18 digits, as 0.0104, not '1e3'",
      "line 11, rounding: must be second or hour or none, not 'minute'",
      'line 12, CSV: has 6 cells for 5 columns',
      'line 12, usageType: this region and usage type have a price on line 11 already',
      'line 13, CSV: has 7 cells for 5 columns',
      "line 13, rounding: must be none for what is used at once, not 'hour'",
    ])
  })

  test.each([
    ['no headings', 'format,kiln-price-sheet\n', ['line 1, region: there is no line of headings']],
    ['a broken quote', `${csvHead}us-east-1,"Box`, ['CSV: Quote Not Closed']],
    ['a missing column', 'region,usageType,unit\n', ['line 1, price: the column is missing']],
    ['a head that is not there', 'region,usageType,unit,price\n', ['format: is missing', 'currency: is missing']],
    ['a fact twice', `currency,USD\n${csvHead}`, ['line 4, currency: is on line 1 already']],
    ['nothing', '', ['there is no line of headings']],
  ])('%s is told', (_what, text, expected) => {
    const told = problems(text).join('\n')
    for (const part of expected) expect(told).toContain(part)
  })
})

describe('a sheet in JSON', () => {
  test('is read', () => {
    const sheet = read(json())
    expect(shortText(sheet.priceOf('BoxUsage:t3.micro', 'us-east-1')!.price, 4)).toBe('0.0104')
    expect(sheet.priceOf('BoxUsage:t3.micro', 'us-east-2')).toBeUndefined()
  })

  test.each([
    [
      'a price as a number',
      json({}, { unit: 'Hrs', price: 0.0104 }),
      'line 11, prices.us-east-1.BoxUsage:t3.micro.price: must be a text',
    ],
    ['no price', json({}, { unit: 'Hrs' }), 'line 9, prices.us-east-1.BoxUsage:t3.micro.price: is missing'],
    ['a price alone', json({}, '0.0104'), 'line 9, prices.us-east-1.BoxUsage:t3.micro: must be an object'],
    ['another unit', json({}, { unit: ['Hrs'], price: '1' }), 'BoxUsage:t3.micro.unit: must be Hrs'],
    [
      'a field too many',
      json({}, { unit: 'Hrs', price: '1', tax: '2' }),
      'micro.tax: is not known; known are unit, price',
    ],
    ['another version', json({ version: 2 }), 'line 3, version: must be 1, not 2'],
    ['another format', json({ format: 'x' }), "line 2, format: must be kiln-price-sheet, not 'x'"],
    [
      'a currency that is none',
      json({ currency: 'USDT' }),
      "line 4, currency: must be the code of a currency (ISO 4217), as USD, not 'USDT'",
    ],
    ['a day that is none', json({ asOf: '2026-02-30' }), 'line 5, asOf: must be a date'],
    ['no source', json({ source: ' ' }), 'line 6, source: must be a text'],
    ['no prices', json({ prices: undefined }), 'prices: the sheet has no price'],
    ['a region that is a list', json({ prices: { 'us-east-1': [] } }), 'prices.us-east-1: must be an object'],
    [
      'a key that every object has',
      json({ prices: { constructor: {}, toString: { a: {} } } }),
      "there is no region 'toString'",
    ],
    ['no JSON', '{ "format": nothing }', 'line 1, JSON: invalid symbol'],
    ['a comment', '{ // here\n}', 'JSON: invalid comment token'],
    ['endless nesting', `{"a":${'['.repeat(500_000)}`, 'JSON: is nested too deeply'],
  ])('%s is told', (_what, text, expected) => {
    expect(problems(text).join('\n')).toContain(expected)
  })

  test('a price that is there twice is told', () => {
    const row = '"BoxUsage:t3.micro": { "unit": "Hrs", "price": "1" }'
    const text = json().replace(/"prices": [\s\S]*/, `"prices": { "us-east-1": {\n${row},\n${row} } } }`)
    expect(problems(text)).toEqual([
      'line 9, prices.us-east-1.BoxUsage:t3.micro: this region and usage type have a price on line 8 already',
    ])
  })
})

describe('bounds', () => {
  test('a file that is too large is not read', () => {
    expect(problems(`{${' '.repeat(sheetLimits.bytes)}}`)).toEqual([
      `line 1, file: has ${sheetLimits.bytes + 2} bytes, at most ${sheetLimits.bytes} are read`,
    ])
  })

  test('a sheet has so many prices, and so many problems are told', () => {
    const row = 'us-east-1,BoxUsage:t3.micro,Hrs,0.1\n'
    const told = problems(csvHead + row.repeat(sheetLimits.rows + 1))
    expect(told).toHaveLength(sheetLimits.problems + 1)
    expect(told.at(-1)).toBe(`and ${sheetLimits.rows - sheetLimits.problems} more`)
  })

  test('what a file says is shown short, and without what a terminal obeys', () => {
    const told = problems(json({ prices: { ['\u001b[2J\n'.repeat(1000)]: { ['x'.repeat(100_000)]: {} } } }))
    expect(told.length).toBeGreaterThan(2)
    expect(told.every((line) => line.length < 400 && !/\p{Cc}/u.test(line))).toBe(true)
  })

  test('what is no UTF-8 is told', () => {
    expect(() => readPriceSheet(Uint8Array.of(0xff, 0xfe, 0x7b))).toThrow('line 1, file: is not text in UTF-8')
  })
})

const usageTypes = ['BoxUsage:t3.micro', 'EBS:VolumeUsage.gp3', 'EBS:SnapshotUsage', 'DataTransfer-Regional-Out']

const price = (usageType: string): fc.Arbitrary<Price> => {
  const { unit, per } = usageTypeFacts(usageType)!
  return fc.record(
    {
      unit: fc.constant(unit),
      price: fc
        .tuple(fc.bigInt({ min: 0n, max: 10n ** 15n - 1n }), fc.integer({ min: 0, max: 18 }))
        .map(([units, places]) => ratio(units, 10n ** BigInt(places))),
      rounding: fc.constantFrom<Rounding>(
        ...(per === 'once' ? (['none'] as const) : (['second', 'hour', 'none'] as const)),
      ),
      asOf: fc.constantFrom('2021-11-06', '2026-02-28'),
    },
    { requiredKeys: ['unit', 'price', 'rounding'] },
  )
}

const anySheet = fc
  .record({
    head: fc.record({
      currency: fc.constantFrom('USD', 'EUR', 'JPY'),
      asOf: fc.constantFrom('2026-01-31', '2024-02-29'),
      source: fc.string({ minLength: 1, maxLength: 60 }).map((text) => `of ${text}.`),
    }),
    prices: fc.uniqueArray(
      fc.tuple(
        fc.constantFrom(anyRegion, ...Object.keys(regionNames)),
        fc.constantFrom(...usageTypes).chain((usageType) => fc.tuple(fc.constant(usageType), price(usageType))),
      ),
      { minLength: 1, maxLength: 20, selector: ([region, [usageType]]) => `${region} ${usageType}` },
    ),
  })
  .map(({ head, prices }) => {
    const byRegion = Map.groupBy(prices, ([region]) => region)
    return new PriceSheet(
      head,
      new Map([...byRegion].map(([region, rows]) => [region, new Map(rows.map(([, row]) => row))])),
    )
  })

/** What a sheet says, comparable. */
function said({ head, prices }: PriceSheet) {
  const rows = [...prices].flatMap(([region, ofRegion]) =>
    [...ofRegion].map(([usageType, one]) => [region, usageType, { ...one, price: one.price.toFraction() }]),
  )
  return { head, rows }
}

describe('a sheet that is written', () => {
  test.each([
    ['JSON', writeJsonSheet],
    ['CSV', writeCsvSheet],
  ])('in %s is the same when it is read again', (_form, write) => {
    fc.assert(
      fc.property(anySheet, (sheet) => {
        expect(said(read(write(sheet)))).toEqual(said(sheet))
      }),
    )
  })
})
