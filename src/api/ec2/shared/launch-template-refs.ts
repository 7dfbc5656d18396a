/** Launch templates and their versions as requests name them. */
import type { LaunchTemplateRef, VersionName } from '../../../cloud/launch-templates/launch-templates.ts'
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'
import { readId } from './ids.ts'

interface NamedTemplate {
  LaunchTemplateId?: string | undefined
  LaunchTemplateName?: string | undefined
}

/** By id or by name. Throws `MissingParameter` for neither, `InvalidParameterCombination` for both. */
export function readTemplateRef(input: NamedTemplate): LaunchTemplateRef {
  const ref = readOptionalTemplateRef(input)
  if (ref) return ref
  throw new KilnError(
    'MissingParameter',
    'The request must contain the parameter LaunchTemplateId or LaunchTemplateName',
  )
}

export function readOptionalTemplateRef(input: NamedTemplate): LaunchTemplateRef | null {
  const { LaunchTemplateId: id, LaunchTemplateName: name } = input
  if (id && name) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter LaunchTemplateName may not be used in combination with LaunchTemplateId',
    )
  }
  if (id) return { id: readId('launchTemplate', id) }
  return name ? { name } : null
}

/** No column of the state holds a larger one. */
const numberMax = 2 ** 31 - 1

/** `$Latest`, `$Default` or a number. Throws `InvalidParameterValue`. */
export function readVersion(parameter: string, text: string): VersionName {
  if (text === '$Latest') return 'latest'
  if (text === '$Default') return 'default'
  return readVersionNumber(parameter, text, ', $Latest or $Default')
}

export function readVersionNumber(parameter: string, text: string, orElse = ''): number {
  if (/^[1-9]\d{0,9}$/.test(text) && Number(text) <= numberMax) return Number(text)
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(text)}) for parameter ${parameter} is invalid. A version is a number${orElse}.`,
  )
}
