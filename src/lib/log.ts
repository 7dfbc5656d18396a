/** Structured logs: one JSON line an event, to standard error, so that standard output stays for people and programs. */
import { type Logger, pino } from 'pino'

export type Log = Logger

export function createLog(level: string = process.env.KILN_LOG ?? 'warn'): Log {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
}

export const silentLog: Log = pino({ level: 'silent' })
