/** Price sheets from files, and the one that comes with Kiln. */
import { readFileSync } from 'node:fs'
import { type PriceSheet, sheetLimits } from './sheet.ts'
import { readCsvSheet } from './sheet-csv.ts'
import { readJsonSheet } from './sheet-json.ts'
import { SheetProblems } from './sheet-problems.ts'

/**
 * The sheet that a file holds; JSON begins with a brace, and everything else is CSV. Throws {@link BadPriceSheet}, which
 * tells every problem with its line and field.
 */
export function readPriceSheet(file: Uint8Array): PriceSheet {
  const text = textOf(file)
  return text.trimStart().startsWith('{') ? readJsonSheet(text) : readCsvSheet(text)
}

function textOf(file: Uint8Array): string {
  const problems = new SheetProblems()
  if (file.byteLength > sheetLimits.bytes) {
    problems.add(1, 'file', `has ${file.byteLength} bytes, at most ${sheetLimits.bytes} are read`)
  }
  problems.throwIfAny()
  try {
    // Without the mark of byte order, which programs of Windows write.
    return new TextDecoder('utf-8', { fatal: true }).decode(file)
  } catch {
    problems.add(1, 'file', 'is not text in UTF-8')
  }
  problems.throwIfAny()
  return ''
}

let loaded: PriceSheet | undefined

/** AWS's public on-demand prices, as far as they are known: `data/aws-on-demand.json`. Read once. */
export function defaultPriceSheet(): PriceSheet {
  loaded ??= readPriceSheet(readFileSync(new URL('./data/aws-on-demand.json', import.meta.url)))
  return loaded
}
