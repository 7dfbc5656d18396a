/**
 * Exact numbers, and money as people and programs read it. Amounts are fractions: a GB-month is so many of 2 678 400
 * seconds, and its price does not end as a decimal. Nothing here is floating point, and nothing is rounded but on display,
 * so that a sum does not depend on how its parts were grouped.
 */
import Fraction from 'fraction.js'

export type Exact = Fraction

export const zero: Exact = new Fraction(0)

/** The most digits that a decimal may have before and after its point. */
export const decimalDigits = { before: 15, after: 18 }

const decimal = new RegExp(`^-?\\d{1,${decimalDigits.before}}(\\.\\d{1,${decimalDigits.after}})?$`)

/** `0.0104`, `-3`: what {@link exactOf} reads. No exponent, no sign but a minus, no digits left out. */
export function isDecimal(text: string): boolean {
  return decimal.test(text)
}

/** The number that a decimal text says. Throws on anything else: ask {@link isDecimal} first. */
export function exactOf(text: string): Exact {
  if (!isDecimal(text)) throw new RangeError(`'${text}' is not a decimal number`)
  const [whole = '', part = ''] = text.split('.')
  return new Fraction(BigInt(whole + part), 10n ** BigInt(part.length))
}

export function ratio(numerator: bigint, denominator: bigint): Exact {
  return new Fraction(numerator, denominator)
}

export function sumOf(parts: Iterable<Exact>): Exact {
  let sum = zero
  for (const part of parts) sum = sum.add(part)
  return sum
}

/**
 * As a decimal of so many places, rounded half to even: of two decimals that are equally near, the one whose last digit is
 * even. A sum of many rounded amounts then leans to neither side. `-0.00` is `0.00`.
 */
export function decimalText(value: Exact, places: number): string {
  const scaled = value.n * 10n ** BigInt(places)
  const [floor, twiceRest] = [scaled / value.d, (scaled % value.d) * 2n]
  const up = twiceRest > value.d || (twiceRest === value.d && floor % 2n === 1n)
  const digits = String(up ? floor + 1n : floor).padStart(places + 1, '0')
  const text = places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`
  return value.s < 0n && /[1-9]/.test(text) ? `-${text}` : text
}

/** As AWS's reports and APIs give money and quantities: ten places. */
export function reportText(value: Exact): string {
  return decimalText(value, 10)
}

/** As short as it can be said: `0.1`, `24`, `22.3333`. At most so many places. */
export function shortText(value: Exact, mostPlaces: number): string {
  return decimalText(value, mostPlaces)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '')
}

/** Whether it is the code of a currency (ISO 4217) that this Node knows. */
export function isCurrency(code: string): boolean {
  currencies ??= new Set(Intl.supportedValuesOf('currency'))
  return currencies.has(code)
}

/** Made when first asked: most commands ask nothing of the kind. */
let currencies: ReadonlySet<string> | undefined

const formats = new Map<string, Intl.NumberFormat>()

/** With as many places as the currency has, or so many. */
function formatOf(currency: string, places?: number): Intl.NumberFormat {
  const name = `${currency} ${places ?? ''}`
  const known = formats.get(name)
  if (known) return known
  const digits = { minimumFractionDigits: places, maximumFractionDigits: places }
  const made = new Intl.NumberFormat('en-US', { style: 'currency', currency, ...digits })
  formats.set(name, made)
  return made
}

/** How many decimal places people give amounts of this currency: 2 for USD, 0 for JPY. */
export function placesOf(currency: string): number {
  return formatOf(currency).resolvedOptions().maximumFractionDigits!
}

/** For people: `$1,234.50`, `¥150`, rounded half to even to the places of the currency. */
export function moneyText(value: Exact, currency: string): string {
  return formatOf(currency).format(decimalText(value, placesOf(currency)) as Intl.StringNumericLiteral)
}

/**
 * The same for amounts that may be very small, as an hour of a small instance is: less than ten of the smallest unit gets two
 * more places (`$0.0104`), and what is nothing even then is `< $0.0001`.
 */
export function fineMoneyText(value: Exact, currency: string): string {
  const places = placesOf(currency)
  if (value.equals(zero) || value.abs().compare(ratio(10n, 10n ** BigInt(places))) >= 0)
    return moneyText(value, currency)
  const [finer, least] = [formatOf(currency, places + 2), ratio(1n, 10n ** BigInt(places + 2))]
  const shown = (amount: Exact) => finer.format(decimalText(amount, places + 2) as Intl.StringNumericLiteral)
  return value.abs().compare(least) < 0 ? `< ${shown(least)}` : shown(value)
}
