import { sheetLimits } from './sheet.ts'

/** What is wrong in a price sheet, and where. */
export interface SheetProblem {
  /** From 1. */
  line: number
  /** In JSON the path (`prices.us-east-1.BoxUsage:t3.micro.price`), in CSV the column. */
  field: string
  message: string
}

/** A file is no price sheet, and why: everything that was found, up to a bound. Nothing of it is used. */
export class BadPriceSheet extends Error {
  readonly problems: readonly SheetProblem[]
  /** How many there were, listed or not. */
  readonly count: number

  constructor(problems: readonly SheetProblem[], count: number) {
    const lines = problems.map(({ line, field, message }) => `line ${line}, ${field}: ${message}`)
    const more = count - problems.length
    super([...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'))
    this.name = 'BadPriceSheet'
    this.problems = problems
    this.count = count
  }
}

/** Collects what is wrong, so that all of it is told at once. */
export class SheetProblems {
  private readonly listed: SheetProblem[] = []
  private count = 0

  add(line: number, field: string, message: string): void {
    this.count += 1
    if (this.listed.length < sheetLimits.problems) this.listed.push({ line, field: shown(field), message })
  }

  /** Throws {@link BadPriceSheet} when there is one, in the order of the file. */
  throwIfAny(): void {
    if (this.count === 0) return
    throw new BadPriceSheet(
      this.listed.toSorted((a, b) => a.line - b.line),
      this.count,
    )
  }
}

/** A value of the file in a message: short, and quoted. */
export function quoted(value: unknown): string {
  return shown(typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value)))
}

const longestShown = 120

/** What a file says may be long, and may hold what a terminal would obey. */
function shown(text: string): string {
  const short = text.length > longestShown ? `${text.slice(0, longestShown - 1)}…` : text
  return short.replace(/\p{C}/gu, '\ufffd')
}
