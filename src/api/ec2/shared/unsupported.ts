/** What Kiln cannot do yet is refused by name, never dropped. */
import { KilnError } from '../../../lib/errors.ts'

/** Throws UnsupportedOperation for the first parameter that asks for something: absent, empty and `false` ones do not. */
export function refuseGiven(parameters: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(parameters)) {
    const isAbsent = value === undefined || value === '' || value === false || (Array.isArray(value) && !value.length)
    if (!isAbsent) throw new KilnError('UnsupportedOperation', `The parameter ${name} is not supported yet`)
  }
}
