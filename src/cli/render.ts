/**
 * How commands show things: aligned columns without frames, sizes and times that people read at a glance. Colours show
 * on a terminal (or with FORCE_COLOR), never in what another program reads.
 */
import { styleText } from 'node:util'
import Table from 'cli-table3'

const noFrame = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid']
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .concat('mid-mid', 'middle')
    .map((part) => [part, '']),
)

type Cell = string | number | null | undefined

function aligned(rows: readonly (readonly Cell[])[]): string {
  const table = new Table({
    chars: { ...noFrame, middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  })
  table.push(...rows.map((row) => row.map((cell) => String(cell ?? '-'))))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

/** Rows below their headings; `nothing` is said when there are none. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[], nothing: string): string {
  if (rows.length === 0) return nothing
  return aligned([headings.map((heading) => styleText('dim', heading.toUpperCase())), ...rows])
}

/** One thing: a line for each of its facts. Facts that are undefined are left out. */
export function facts(entries: readonly (readonly [label: string, value: Cell])[]): string {
  return aligned(
    entries.filter(([, value]) => value !== undefined).map(([label, value]) => [styleText('dim', label), value]),
  )
}

/** The command as it is typed: in a checkout, and where it is installed. */
export const typedName = import.meta.url.endsWith('.ts') ? 'bin/kiln' : 'kiln'

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2))
}

/** How far long work has come, on one line of the terminal; where standard error is none, nothing is shown. */
export function steadyProgress(what: string): { show(percent: number): void; end(): void } {
  const { stderr } = process
  if (!stderr.isTTY) return { show: () => {}, end: () => {} }
  return {
    show: (percent) => void stderr.write(`\r${what}: ${percent}%`),
    end: () => void stderr.write('\r\u001b[K'),
  }
}

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']

/** `0 bytes`, `1.5 MiB` */
export function size(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}

/** `1 block`, `2 blocks` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** `850 ms`, `3.2 s`, `2 min 5 s` */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** `2026-01-31 17:05:09` in UTC, as EC2 tells times. */
export function time(date: Date | number | string | undefined): string | undefined {
  return date === undefined ? undefined : new Date(date).toISOString().slice(0, 19).replace('T', ' ')
}

/** Colour that says how a thing is, where colours are shown. */
export function state(name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  if (['available', 'running', 'in-use', 'completed', 'ok'].includes(name)) return styleText('green', name)
  if (['failed', 'error', 'invalid', 'deregistered', 'terminated'].includes(name)) return styleText('red', name)
  return ['stopped'].includes(name) ? name : styleText('yellow', name)
}
