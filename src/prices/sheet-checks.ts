/** What makes rows of a file a price sheet, whatever the file's form: one set of rules for JSON and CSV. */
import { regionNames } from '../lib/regions.ts'
import { decimalDigits, exactOf, isCurrency, isDecimal } from './money.ts'
import { anyRegion, type Price, PriceSheet, type SheetHead, sheetFormat, sheetLimits, sheetVersion } from './sheet.ts'
import { quoted, type SheetProblems } from './sheet-problems.ts'
import { type Rounding, type UsageTypeFacts, usageTypeFacts } from './usage-types.ts'

/** A value as it is in the file, and where. */
export interface Field {
  value: unknown
  line: number
  /** As problems name it. */
  name: string
}

export type Fields = ReadonlyMap<string, Field>

export interface SheetRow {
  /** Where the row begins, for fields that it lacks. */
  line: number
  name: string
  region: Field
  usageType: Field
  /** {@link rowFields}, as far as they are there. */
  fields: Fields
}

export const headFields = ['format', 'version', 'currency', 'asOf', 'source'] as const
export const rowFields = ['unit', 'price', 'rounding', 'asOf'] as const

const roundings: readonly Rounding[] = ['second', 'hour', 'none']

/** Goes through everything, and throws {@link BadPriceSheet} when anything is wrong. */
export function checkedSheet(
  head: { line: number; name: string; fields: Fields },
  rows: Iterable<SheetRow>,
  problems: SheetProblems,
): PriceSheet {
  const checkedHead = headOf(head, problems)
  const prices = new Map<string, Map<string, Price>>()
  const seen = new SeenRows(problems)
  for (const row of rows) {
    const price = priceOf(row, problems)
    if (!seen.isFirst(row) || !price) continue
    const [region, usageType] = [String(row.region.value), String(row.usageType.value)]
    const ofRegion = prices.get(region) ?? new Map<string, Price>()
    prices.set(region, ofRegion.set(usageType, price))
  }
  if (seen.isEmpty) problems.add(head.line, 'prices', 'the sheet has no price')
  problems.throwIfAny()
  return new PriceSheet(checkedHead, prices)
}

/** Which usage type in which region had its row, right or wrong, on which line. */
class SeenRows {
  private readonly lines = new Map<string, number>()
  private readonly problems: SheetProblems

  constructor(problems: SheetProblems) {
    this.problems = problems
  }

  get isEmpty(): boolean {
    return this.lines.size === 0
  }

  isFirst({ line, region, usageType }: SheetRow): boolean {
    const key = JSON.stringify([region.value, usageType.value])
    const first = this.lines.get(key)
    if (first === undefined) this.lines.set(key, line)
    else this.problems.add(line, usageType.name, `this region and usage type have a price on line ${first} already`)
    return first === undefined
  }
}

/** Reads one field of many; what is missing or wrong becomes a problem. */
class FieldReader {
  private readonly at: { line: number; name: string; fields: Fields }
  private readonly problems: SheetProblems

  constructor(at: { line: number; name: string; fields: Fields }, problems: SheetProblems) {
    this.at = at
    this.problems = problems
  }

  /** The field's value when `isRight`, else undefined; an optional one may be missing. */
  read(name: string, isRight: (value: unknown) => boolean, message: string, optional = false): unknown {
    const field = this.at.fields.get(name)
    if (!field) {
      if (!optional) this.problems.add(this.at.line, this.at.name ? `${this.at.name}.${name}` : name, 'is missing')
      return undefined
    }
    if (isRight(field.value)) return field.value
    this.problems.add(field.line, field.name, `${message}, not ${quoted(field.value)}`)
    return undefined
  }
}

function headOf(head: { line: number; name: string; fields: Fields }, problems: SheetProblems): SheetHead {
  const reader = new FieldReader(head, problems)
  reader.read('format', (value) => value === sheetFormat, `must be ${sheetFormat}`)
  reader.read('version', (value) => value === sheetVersion, `must be ${sheetVersion}`)
  return {
    currency: reader.read('currency', isKnownCurrency, 'must be the code of a currency (ISO 4217), as USD') as string,
    asOf: reader.read('asOf', isDate, 'must be a date, as 2026-01-31') as string,
    source: reader.read('source', isText, `must be a text of 1 to ${sheetLimits.textLength} characters`) as string,
  }
}

function priceOf(row: SheetRow, problems: SheetProblems): Price | undefined {
  checkRegion(row.region, problems)
  const facts = factsOf(row.usageType, problems)
  const reader = new FieldReader(row, problems)
  const unit = reader.read('unit', (value) => !facts || value === facts.unit, `must be ${facts?.unit}`)
  const price = priceText(row, reader, problems)
  const rounding = reader.read('rounding', (value) => isRounding(value, facts), roundingMessage(facts), true)
  const asOf = reader.read('asOf', isDate, 'must be a date, as 2026-01-31', true) as string | undefined
  if (!facts || unit === undefined || price === undefined) return undefined
  return {
    ...{ unit: facts.unit, price: exactOf(price), rounding: (rounding as Rounding | undefined) ?? facts.rounding },
    ...(asOf === undefined ? {} : { asOf }),
  }
}

function checkRegion({ value, line, name }: Field, problems: SheetProblems): void {
  if (value === anyRegion || (typeof value === 'string' && Object.hasOwn(regionNames, value))) return
  problems.add(line, name, `there is no region ${quoted(value)}; ${anyRegion} is for any`)
}

function factsOf({ value, line, name }: Field, problems: SheetProblems): UsageTypeFacts | undefined {
  const facts = typeof value === 'string' ? usageTypeFacts(value) : undefined
  if (!facts) problems.add(line, name, `there is no usage type ${quoted(value)}`)
  return facts
}

/** The price when it is one; each way of being none has its own words. */
function priceText(row: SheetRow, reader: FieldReader, problems: SheetProblems): string | undefined {
  const field = row.fields.get('price')
  if (field && typeof field.value === 'number') {
    problems.add(field.line, field.name, `must be a text, as "0.0104": a number in JSON is not exact`)
    return undefined
  }
  const digits = `must be a decimal number of at most ${decimalDigits.before}.${decimalDigits.after} digits, as 0.0104`
  const text = reader.read('price', (value) => typeof value === 'string' && isDecimal(value), digits)
  if (typeof text !== 'string' || !text.startsWith('-')) return text as string | undefined
  problems.add(field!.line, field!.name, `may not be negative: ${text}`)
  return undefined
}

const isKnownCurrency = (value: unknown) => typeof value === 'string' && isCurrency(value)

const isText = (value: unknown) =>
  typeof value === 'string' && value.trim() !== '' && value.length <= sheetLimits.textLength

/** A day of the calendar: the 30th of February is none. */
function isDate(value: unknown): boolean {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(value)) return false
  const time = Date.parse(`${value}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(value)
}

/** What is used at once has no run that could be rounded. */
function isRounding(value: unknown, facts: UsageTypeFacts | undefined): boolean {
  return facts?.per === 'once' ? value === 'none' : roundings.includes(value as Rounding)
}

function roundingMessage(facts: UsageTypeFacts | undefined): string {
  return facts?.per === 'once' ? 'must be none for what is used at once' : `must be ${roundings.join(' or ')}`
}
