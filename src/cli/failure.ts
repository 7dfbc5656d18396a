/** How a command ends when it does not succeed. */
import { CommanderError } from 'commander'
import { isDiskFull, messageOf } from '../lib/errors.ts'

/** The command was typed in a way that cannot be meant; the message says what to type instead. */
export class UsageError extends Error {}

/** 0 for asked-for help, 2 for a command that was asked wrongly, 1 for everything else. */
export function exitCodeOf(error: unknown): 0 | 1 | 2 {
  if (error instanceof UsageError) return 2
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  return 1
}

/** What was thrown, as the one line that people and scripts get to see. */
export function oneLine(error: unknown): string {
  const line = messageOf(error)
    .trim()
    .replace(/\s*\n\s*/g, ' | ')
  return isDiskFull(error) ? `${line}: free some space on this disk, then type the command again` : line
}
