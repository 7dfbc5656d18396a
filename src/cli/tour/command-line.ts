/** Requests as the lines of a shell that do the same, made from the very input that is sent. */

export interface LineOptions {
  region?: string
  /** Parameters that are shown otherwise than they are sent, by the API's name: `{ UserData: 'file:///…' }`. */
  shown?: Readonly<Record<string, string>>
  /** What follows the parameters: `--query …`, `> file`. */
  rest?: string
}

/** `aws ec2 stop-instances --instance-ids i-…` */
export function awsLine(operation: string, input: object, options: LineOptions = {}): string {
  const words = ['aws', 'ec2', kebab(operation)]
  if (options.region) words.push('--region', options.region)
  for (const [name, value] of Object.entries(withCount(operation, input))) {
    words.push(...parameter(name, options.shown?.[name] ?? value))
  }
  return [...words, ...(options.rest ? [options.rest] : [])].join(' ')
}

/** The AWS CLI has one `--count` (`2`, or `1:2`) for RunInstances' two. */
function withCount(operation: string, input: object): object {
  if (operation !== 'RunInstances') return input
  const { MinCount: min, MaxCount: max, ...rest } = input as { MinCount: number; MaxCount: number }
  return { ...rest, Count: min === max ? max : `${min}:${max}` }
}

function parameter(name: string, value: unknown): string[] {
  if (value === undefined) return []
  const option = `--${kebab(name)}`
  if (typeof value === 'boolean') return [value ? option : `--no-${kebab(name)}`]
  const values = Array.isArray(value) ? value : [value]
  return [option, ...values.map((one) => quoted(typeof one === 'object' ? members(one) : String(one)))]
}

/** The AWS CLI's shorthand syntax for structures. */
function shorthand(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shorthand).join(',')}]`
  if (typeof value === 'object' && value !== null) return `{${members(value)}}`
  return String(value)
}

function members(structure: object): string {
  return Object.entries(structure)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? listMember(value) : shorthand(value)}`)
    .join(',')
}

/** A single plain value needs no brackets: `Values=available`. */
function listMember(values: readonly unknown[]): string {
  return values.length === 1 && typeof values[0] !== 'object' ? String(values[0]) : shorthand(values)
}

/** A word that any POSIX shell reads as it is. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

const kebab = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase()
