/**
 * Price sheets in CSV: a line for each fact of the head (`currency,USD`), the names of the columns, and a line for each price.
 */
import { CsvError, parse } from 'csv-parse/sync'
import { stringify } from 'csv-stringify/sync'
import { decimalDigits, shortText } from './money.ts'
import { type PriceSheet, sheetFormat, sheetLimits, sheetVersion } from './sheet.ts'
import { checkedSheet, type Field, type Fields, headFields, rowFields, type SheetRow } from './sheet-checks.ts'
import { SheetProblems } from './sheet-problems.ts'

const columns = ['region', 'usageType', ...rowFields] as const
const neededColumns = ['region', 'usageType', 'unit', 'price'] as const

interface Line {
  cells: string[]
  line: number
}

/** Throws {@link BadPriceSheet}. */
export function readCsvSheet(text: string): PriceSheet {
  const problems = new SheetProblems()
  const lines = linesOf(text, problems)
  const headings = lines.findIndex(({ cells }) => cells[0] === 'region')
  if (headings < 0) problems.add(1, 'region', `there is no line of headings: ${columns.join(',')}`)
  problems.throwIfAny()
  const fields = headOf(lines.slice(0, headings), problems)
  const rows = rowsOf(lines.slice(headings + 1), columnsOf(lines[headings]!, problems), problems)
  return checkedSheet({ line: 1, name: '', fields }, rows, problems)
}

function linesOf(text: string, problems: SheetProblems): Line[] {
  try {
    const options = { bom: true, trim: true, skip_empty_lines: true, relax_column_count: true, info: true } as const
    const records = parse(text, { ...options, to: sheetLimits.rows + 100 }) as unknown as ParsedRecord[]
    return records.map(({ record, info }) => ({ cells: record, line: info.lines }))
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    problems.add(Number(error.lines ?? 1), 'CSV', error.message)
    return []
  }
}

interface ParsedRecord {
  record: string[]
  info: { lines: number }
}

function headOf(lines: readonly Line[], problems: SheetProblems): Fields {
  const fields = new Map<string, Field>()
  for (const { cells, line } of lines) {
    const [name = '', value = '', ...more] = cells
    if (!headFields.includes(name as (typeof headFields)[number])) {
      problems.add(line, name || '(empty)', `is not known; known are ${headFields.join(', ')}`)
    } else if (fields.has(name)) problems.add(line, name, `is on line ${fields.get(name)!.line} already`)
    else if (more.some((cell) => cell !== '')) problems.add(line, name, 'has more than one value')
    else fields.set(name, { value: name === 'version' && /^\d{1,9}$/.test(value) ? Number(value) : value, line, name })
  }
  return fields
}

/** The column of each cell. */
function columnsOf({ cells, line }: Line, problems: SheetProblems): readonly string[] {
  cells.forEach((name, index) => {
    if (!columns.includes(name as (typeof columns)[number])) {
      problems.add(line, name || `column ${index + 1}`, `is not known; known are ${columns.join(', ')}`)
    } else if (cells.indexOf(name) !== index) problems.add(line, name, 'is there twice')
  })
  for (const name of neededColumns) if (!cells.includes(name)) problems.add(line, name, 'the column is missing')
  problems.throwIfAny()
  return cells
}

function rowsOf(lines: readonly Line[], names: readonly string[], problems: SheetProblems): SheetRow[] {
  const beyond = lines[sheetLimits.rows]
  if (beyond) problems.add(beyond.line, 'price', `the sheet has more than ${sheetLimits.rows} prices`)
  return lines.slice(0, sheetLimits.rows).map(({ cells, line }) => {
    if (cells.length > names.length) problems.add(line, 'CSV', `has ${cells.length} cells for ${names.length} columns`)
    const fieldOf = (name: string): Field => ({ value: cells[names.indexOf(name)] ?? '', line, name })
    // An empty cell is a field that is not there.
    const there = rowFields.map(fieldOf).filter(({ value }) => value !== '')
    return {
      ...{ line, name: '', region: fieldOf('region'), usageType: fieldOf('usageType') },
      fields: new Map(there.map((field) => [field.name, field])),
    }
  })
}

/** The sheet as a file; {@link readCsvSheet} reads the same sheet from it. */
export function writeCsvSheet({ head, prices }: PriceSheet): string {
  const facts = { format: sheetFormat, version: sheetVersion, ...head }
  const rows = [...prices].flatMap(([region, ofRegion]) =>
    [...ofRegion].map(([usageType, { unit, price, rounding, asOf = '' }]) => [
      ...[region, usageType, unit, shortText(price, decimalDigits.after), rounding, asOf],
    ]),
  )
  return stringify([...Object.entries(facts), [...columns], ...rows])
}
