/** Structured logs: one JSON line an event, to standard error, so that standard output stays for people and programs. */
import { type Logger, pino } from 'pino'

export type Log = Logger

export function createLog(level: string = process.env.KILN_LOG ?? 'warn'): Log {
  const destination = pino.destination({ dest: 2, sync: true })
  // Whoever cannot write a log line, on a full disk for one, goes on with what the line was about.
  destination.on('error', () => {})
  return pino({ level, base: null }, destination)
}

export const silentLog: Log = pino({ level: 'silent' })
