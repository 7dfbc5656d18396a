/** The only door to chance. Tests pass a seeded source; everything else takes {@link systemRandom}. */
import { randomBytes } from 'node:crypto'

export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Buffer
}

export const systemRandom: Random = { bytes: (count) => randomBytes(count) }

/** A repeatable source for tests and simulations (mulberry32). Never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) & 0xff
  }
  return { bytes: (count) => Buffer.from(Array.from({ length: count }, next)) }
}

/** A uniform integer in [0, below). */
export function randomInt(random: Random, below: number): number {
  return Number(BigInt(`0x${random.bytes(8).toString('hex')}`) % BigInt(below))
}
