/** What benches have in common: what they ask, and how they say what they found. */
import { performance } from 'node:perf_hooks'

export interface Bench {
  question: string
  run(say: (line: string) => void): Promise<void>
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Milliseconds that the work took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

/** `label: median (least to most)`. */
export function spread(label: string, values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  return `${label}: ${seconds(median(values))} (${seconds(least)} to ${seconds(most)}, ${values.length} runs)`
}

export function mib(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}
