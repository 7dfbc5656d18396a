/** Names and descriptions of security groups and their rules. Source: CreateSecurityGroup and IpRange in the EC2 API reference. */
import { KilnError } from '../../lib/errors.ts'

const lengthMax = 255
const allowed = /^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]*$/
const allowedForPeople = 'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*'

/** The name as it is kept: without spaces at its end. */
export function checkedGroupName(text: string): string {
  const name = text.trimEnd()
  if (name === '') throw new KilnError('MissingParameter', 'The request must contain the parameter GroupName')
  if (/^sg-/i.test(name)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.`,
    )
  }
  checkText('GroupName', 'security group name', 'names', name)
  if (name === 'default') throw new KilnError('InvalidGroup.Reserved', `The security group '${name}' is reserved`)
  return name
}

export function checkGroupDescription(description: string): void {
  if (description === '') {
    throw new KilnError('MissingParameter', 'The request must contain the parameter GroupDescription')
  }
  checkText('GroupDescription', 'security group description', 'descriptions', description)
}

/** An empty description is none. */
export function checkedRuleDescription(description: string | undefined): string | null {
  if (!description) return null
  checkText('Description', 'rule description', 'descriptions', description)
  return description
}

function checkText(parameter: string, what: string, plural: string, text: string): void {
  if (text.length <= lengthMax && allowed.test(text)) return
  throw new KilnError(
    'InvalidParameterValue',
    `Invalid ${what} for parameter ${parameter}. Valid ${plural} are strings of at most ${lengthMax} characters from the following set: ${allowedForPeople}`,
  )
}
