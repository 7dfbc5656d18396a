/** Price sheets in JSON. The text is read as a tree with places, so that a problem has a line and a doubled key is seen. */
import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { decimalDigits, shortText } from './money.ts'
import { type PriceSheet, sheetFormat, sheetLimits, sheetVersion } from './sheet.ts'
import { checkedSheet, type Fields, headFields, rowFields, type SheetRow } from './sheet-checks.ts'
import { SheetProblems } from './sheet-problems.ts'

/** Throws {@link BadPriceSheet}. */
export function readJsonSheet(text: string): PriceSheet {
  return new JsonSheet(text).read()
}

/** A member of an object of the file. */
interface Member {
  key: string
  node: Node
  line: number
  /** Its path from the root. */
  name: string
}

/** One reading of one text. */
class JsonSheet {
  private readonly text: string
  private readonly lineStarts: readonly number[]
  private readonly problems = new SheetProblems()

  constructor(text: string) {
    this.text = text
    this.lineStarts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)]
  }

  read(): PriceSheet {
    const members = this.membersOf(this.tree(), '')
    const prices = members.find(({ key }) => key === 'prices')
    const head = this.fieldsOf(members, [...headFields, 'prices'])
    return checkedSheet({ line: 1, name: '', fields: head }, prices ? this.rowsOf(prices) : [], this.problems)
  }

  /** The root object. What is not JSON at all ends the reading here. */
  private tree(): Node {
    const errors: ParseError[] = []
    const root = this.parsed(errors)
    for (const { error, offset } of errors) {
      this.problems.add(this.lineOf(offset), 'JSON', wordsOf(printParseErrorCode(error)))
    }
    if (errors.length === 0 && root?.type !== 'object') this.problems.add(1, 'JSON', 'must be an object')
    this.problems.throwIfAny()
    return root!
  }

  private parsed(errors: ParseError[]): Node | undefined {
    try {
      return parseTree(this.text, errors, { disallowComments: true, allowTrailingComma: false })
    } catch (error) {
      // The parser calls itself for each level, and the text may have as many as it has characters.
      if (!(error instanceof RangeError)) throw error
      this.problems.add(1, 'JSON', 'is nested too deeply')
      return undefined
    }
  }

  private rowsOf(prices: Member): SheetRow[] {
    const rows: SheetRow[] = []
    for (const region of this.membersOf(prices.node, prices.name)) {
      for (const one of this.membersOf(region.node, region.name)) {
        if (rows.length === sheetLimits.rows) {
          this.problems.add(one.line, one.name, `the sheet has more than ${sheetLimits.rows} prices`)
          return rows
        }
        rows.push({
          ...{ line: one.line, name: one.name },
          region: { value: region.key, line: region.line, name: region.name },
          usageType: { value: one.key, line: one.line, name: one.name },
          fields: this.fieldsOf(this.membersOf(one.node, one.name), rowFields),
        })
      }
    }
    return rows
  }

  /** In the order of the file; none, and a problem, when the node is no object. */
  private membersOf(node: Node, name: string): Member[] {
    if (node.type !== 'object') {
      this.problems.add(this.lineOf(node.offset), name, 'must be an object')
      return []
    }
    return (node.children ?? []).map(({ offset, children }) => {
      const key = String(children![0]!.value)
      return { key, node: children![1]!, line: this.lineOf(offset), name: name ? `${name}.${key}` : key }
    })
  }

  /** The members that may be there, each once. */
  private fieldsOf(members: readonly Member[], allowed: readonly string[]): Fields {
    const fields = new Map<string, { value: unknown; line: number; name: string }>()
    for (const { key, node, line, name } of members) {
      if (!allowed.includes(key)) this.problems.add(line, name, `is not known; known are ${allowed.join(', ')}`)
      else if (fields.has(key)) this.problems.add(line, name, `is on line ${fields.get(key)!.line} already`)
      else fields.set(key, { value: simpleValue(node), line, name })
    }
    return fields
  }

  private lineOf(offset: number): number {
    let [low, high] = [0, this.lineStarts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.lineStarts[middle]! <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
}

/** Only simple values are right anywhere; the others are named by their kind. */
function simpleValue(node: Node): unknown {
  return node.type === 'object' || node.type === 'array' ? { kind: node.type } : node.value
}

/** `PropertyNameExpected` → `property name expected` */
function wordsOf(code: string): string {
  return code.replace(/(?<!^)([A-Z])/g, ' $1').toLowerCase()
}

/** The sheet as a file; {@link readJsonSheet} reads the same sheet from it. */
export function writeJsonSheet({ head, prices }: PriceSheet): string {
  const regions = [...prices].map(([region, ofRegion]) => {
    const rows = [...ofRegion].map(([usageType, { price, ...one }]) => {
      const { unit, rounding, asOf } = one
      const row = { unit, price: shortText(price, decimalDigits.after), rounding, asOf }
      return `      ${JSON.stringify(usageType)}: ${spaced(JSON.stringify(row))}`
    })
    return `    ${JSON.stringify(region)}: {\n${rows.join(',\n')}\n    }`
  })
  const fields = { format: sheetFormat, version: sheetVersion, ...head }
  const lines = Object.entries(fields).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
  return `{\n${[...lines, `  "prices": {\n${regions.join(',\n')}\n  }`].join(',\n')}\n}\n`
}

/** A flat object of texts on one line, as our formatter writes it. */
function spaced(json: string): string {
  return json.replaceAll('":"', '": "').replaceAll('","', '", "').replace(/^\{/, '{ ').replace(/\}$/, ' }')
}
