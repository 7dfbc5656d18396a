/** Sides that do the same work in turns, so that what else the machine does falls on all of them. */
import { median, spread, timed } from '../report.ts'

export interface Side {
  label: string
  run(): Promise<unknown>
  /** Not counted. */
  tidy?(): Promise<unknown>
}

/** Beyond this the slowest run of a side says more about the machine than about the side. */
const noisyRatio = 1.5

/** More of them (`KILN_ROUNDS`) take longer and say more. */
const rounds = Number(process.env.KILN_ROUNDS ?? 3)

/** Prints each side, and the first one's ratio to each of the others. The medians in milliseconds. */
export async function compare(say: (line: string) => void, sides: readonly Side[]): Promise<number[]> {
  const times: number[][] = sides.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, { run, tidy }] of sides.entries()) {
      times[index]!.push(await timed(run))
      await tidy?.()
    }
  }
  for (const [index, { label }] of sides.entries()) say(`${spread(label, times[index]!)}${noise(times[index]!)}`)
  const medians = times.map(median)
  for (const [index, { label }] of sides.entries())
    if (index > 0) say(`ratio ${sides[0]!.label} / ${label}: ${(medians[0]! / medians[index]!).toFixed(2)}`)
  return medians
}

export function noise(times: readonly number[]): string {
  return Math.max(...times) > noisyRatio * Math.min(...times) ? ', noisy' : ''
}
