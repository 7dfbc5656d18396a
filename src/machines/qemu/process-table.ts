/**
 * Finds our programs by what they were told to do. A process's own argument array says which machine it is, so nothing
 * has to be written down that a sudden end could lose. Only in the instant of its execution it has no arguments to show.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { type ProcessRef, startTicksOf } from '../../lib/programs.ts'

/** The argument array of a living process; empty when there is none, or a zombie. */
function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}

function refOf(pid: number): ProcessRef | undefined {
  const startTicks = startTicksOf(pid)
  return startTicks === undefined ? undefined : { pid, startTicks }
}

/** The process with that id, if `argument` is one of its arguments. */
export function processWith(pid: number, argument: string): ProcessRef | undefined {
  return argumentsOf(pid).includes(argument) ? refOf(pid) : undefined
}

/** All processes that have an argument which `match` accepts, and what it made of it. */
export function processesWith(match: (argument: string) => string | undefined): { ref: ProcessRef; value: string }[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger)
  return pids.flatMap((pid) => {
    const value = argumentsOf(pid)
      .map(match)
      .find((found) => found !== undefined)
    const ref = value === undefined ? undefined : refOf(pid)
    return ref && value !== undefined ? [{ ref, value }] : []
  })
}
