/** Price sheets that somebody names on the command line. */
import { readFile } from 'node:fs/promises'
import { messageOf } from '../lib/errors.ts'
import type { PriceSheet } from '../prices/sheet.ts'
import { BadPriceSheet } from '../prices/sheet-problems.ts'
import { readPriceSheet } from '../prices/sheets.ts'
import { UsageError } from './failure.ts'

/** Every problem of a bad sheet goes to standard error, a line each; then this throws. */
export async function readPriceFile(path: string): Promise<PriceSheet> {
  const file = await readFile(path).catch((error) => {
    throw new UsageError(`the price sheet ${path} cannot be read (${messageOf(error)}): name another with --prices`)
  })
  try {
    return readPriceSheet(file)
  } catch (error) {
    if (!(error instanceof BadPriceSheet)) throw error
    for (const line of error.message.split('\n')) process.stderr.write(`kiln: ${path}: ${line}\n`)
    throw new UsageError(`${path} is no price sheet; docs/formats/price-sheet.md says what one is`)
  }
}
