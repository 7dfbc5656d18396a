/** Options that several commands share, each with its variable. */
import { InvalidArgumentError, Option } from 'commander'
import { defaultHome } from '../lib/home.ts'

export type MachinesKind = 'qemu' | 'simulated'
export type NetworkKind = 'auto' | 'namespace' | 'user'
export type AuthMode = 'open' | 'verify'

/** The home of whoever sets nothing. */
export const homeWithoutVariable = () => defaultHome({ ...process.env, KILN_HOME: undefined })

export const homeOption = () =>
  new Option('--home <dir>', 'where all state lies').env('KILN_HOME').default(homeWithoutVariable())

/** Without it, what the home was served with before; else `qemu`. */
export const machinesOption = () =>
  new Option('--machines <kind>', 'real virtual machines, or none (default: what the home has, else qemu)')
    .env('KILN_MACHINES')
    .choices(['qemu', 'simulated'] satisfies MachinesKind[])

/** Without it, what the home was served with before; else `auto`. */
export const networkOption = () =>
  new Option('--network <kind>', 'how instances are connected (default: what the home has, else auto)')
    .env('KILN_NETWORK')
    .choices(['auto', 'namespace', 'user'] satisfies NetworkKind[])

export type VolumeLimits = 'on' | 'off'

export const volumeLimitsOption = () =>
  new Option('--volume-limits <mode>', "hold guests to the IOPS and throughput of their volumes' types, or not")
    .env('KILN_VOLUME_LIMITS')
    .choices(['on', 'off'] satisfies VolumeLimits[])
    .default('on')

export type FreezeGuests = 'auto' | 'off'

export const freezeGuestsOption = () =>
  new Option('--freeze-guests <mode>', 'ask guests that have an agent to hold still for their snapshots, or not')
    .env('KILN_FREEZE_GUESTS')
    .choices(['auto', 'off'] satisfies FreezeGuests[])
    .default('auto')

export const databaseOption = () =>
  new Option('--database-url <url>', 'keep the state in PostgreSQL instead of the home').env('KILN_DATABASE_URL')

export const keyFileOption = () =>
  new Option(
    '--key-file <file>',
    "the master key of encryption; made when there is none (default: the home's own)",
  ).env('KILN_KEY_FILE')

/** Without it, the sheet that the home was served with before; else Kiln's own. */
export const pricesOption = () =>
  new Option(
    '--prices <file>',
    "the price sheet (default: what the home has, else AWS's prices; 'default' for these)",
  ).env('KILN_PRICES')

export const jsonOption = () => new Option('--json', 'print JSON, for programs')

export const regionOption = () =>
  new Option('--region <name>', 'the region to ask')
    .env('AWS_REGION')
    .default(process.env.AWS_DEFAULT_REGION || 'us-east-1')

/** For commands that look at all regions unless told otherwise: no variable narrows them down unseen. */
export const onlyRegionOption = () => new Option('--region <name>', 'only this region (default: all)')

export const accountOption = () =>
  new Option('--account <digits>', 'the account to act as (with --auth open)')
    .env('KILN_ACCOUNT')
    .default('000000000000')
    .argParser(readAccount)

export function readAccount(text: string): string {
  if (/^\d{12}$/.test(text)) return text
  throw new InvalidArgumentError('An account is 12 digits, as 123456789012.')
}

export function readPort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('A port is a number from 0 (any free one) to 65535.')
}

const secondsOf = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** `0`, `90s`, `30m`, `12h`, `7d`, as seconds. */
export function readSeconds(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text === '0' ? '0s' : text) ?? []
  if (count && unit) return Number(count) * secondsOf[unit as keyof typeof secondsOf]
  throw new InvalidArgumentError('A time is a number with s, m, h or d behind it, as 90s, 30m, 12h, 7d; or 0.')
}

export function readImageId(text: string): string {
  if (/^ami-[0-9a-f]{17}$/.test(text)) return text
  throw new InvalidArgumentError("An image is ami- and 17 hexadecimal digits; 'kiln image list' lists them.")
}

export function readInstanceId(text: string): string {
  if (/^i-[0-9a-f]{17}$/.test(text)) return text
  throw new InvalidArgumentError("An instance is i- and 17 hexadecimal digits; 'kiln instance list' lists them.")
}

export function readSnapshotId(text: string): string {
  if (/^snap-[0-9a-f]{17}$/.test(text)) return text
  throw new InvalidArgumentError(
    "A snapshot is snap- and 17 hexadecimal digits; 'aws ec2 describe-snapshots --owner-ids self' lists them.",
  )
}
