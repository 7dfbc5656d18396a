import { KilnError } from '../../lib/errors.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'

/** Source: the Name parameter of CreateImage and RegisterImage. */
const namePattern = /^[A-Za-z0-9()[\] ./\-'@_]{3,128}$/
const descriptionMax = 255

export function checkImageText(name: string, description: string | null): void {
  if (!namePattern.test(name)) {
    throw new KilnError(
      'InvalidAMIName.Malformed',
      `The Name '${name}' is malformed: AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'`,
    )
  }
  if (description !== null) checkDescription(description)
}

export function checkDescription(description: string): void {
  if (description.length <= descriptionMax) return
  throw new KilnError('InvalidParameterValue', `The Description is longer than ${descriptionMax} characters`)
}

/** Throws InvalidAMIName.Duplicate when the account has a living image of that name in the region. */
export async function checkNameIsFree(tx: Repositories, scope: Scope, name: string): Promise<void> {
  const named = await tx.images.named(scope.accountId, scope.region, name)
  if (named) throw new KilnError('InvalidAMIName.Duplicate', `AMI name ${name} is already in use by AMI ${named.id}`)
}
