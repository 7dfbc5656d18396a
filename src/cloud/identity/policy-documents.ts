/**
 * Policies as texts: parsed, and checked against the grammar. Source: "Grammar of the IAM JSON policy language" in the IAM
 * user guide. What a policy of an identity allows is not enforced anywhere; who may assume a role is (see `trust.ts`).
 */
import { KilnError } from '../../lib/errors.ts'

/** Of an identity, in three sizes of characters without white space, or of a role: who may assume it. */
export type PolicyUse = { kind: 'identity' | 'trust'; maxLength: number; quotaName: string }

export interface Statement {
  effect: 'Allow' | 'Deny'
  actions: readonly string[] | undefined
  notActions: readonly string[] | undefined
  /** By type (`AWS`, `Service`, `Federated`, `CanonicalUser`); `*` stands for everybody. */
  principals: Principals | undefined
  notPrincipals: Principals | undefined
  /** Operator → key → values. */
  conditions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

export type Principals = '*' | Readonly<Record<string, readonly string[]>>

type Json = Record<string, unknown>

const versions = ['2012-10-17', '2008-10-17']
const members = new Set(['Version', 'Id', 'Statement'])
const statementMembers = new Set([
  ...['Sid', 'Effect', 'Action', 'NotAction', 'Resource', 'NotResource'],
  ...['Principal', 'NotPrincipal', 'Condition'],
])
const actionShape = /^[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+$/
const resourceShape = /^arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:.+$/s
const principalTypes = new Set(['AWS', 'Service', 'Federated', 'CanonicalUser'])
const awsPrincipalShape =
  /^(?:\*|\d{12}|A(?:IDA|ROA)[A-Z0-9]{12,28}|arn:[\w-]+:(?:iam|sts)::\d{12}:(?:root|(?:user|role|assumed-role|federated-user)\/[\w+=,.@/-]+))$/
const servicePrincipalShape = /^[a-z0-9.-]+\.(?:amazonaws\.com(?:\.cn)?|amazon\.com|aws\.internal)$/
const operatorShape =
  /^(?:(?:ForAllValues|ForAnyValue):)?(?:String(?:Not)?(?:Equals(?:IgnoreCase)?|Like)|Numeric(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)|Date(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)|Bool|BinaryEquals|(?:Not)?IpAddress|Arn(?:Not)?(?:Equals|Like)|Null)(?:IfExists)?$/

/** Throws MalformedPolicyDocument, LimitExceeded, ValidationError. */
export function checkPolicy(text: string, use: PolicyUse): void {
  if (text.replace(/\s/g, '').length > use.maxLength) {
    throw new KilnError('LimitExceeded', `Cannot exceed quota for ${use.quotaName}: ${use.maxLength}`)
  }
  readPolicy(text, use.kind)
}

/** Throws MalformedPolicyDocument. */
export function readPolicy(text: string, kind: PolicyUse['kind']): Statement[] {
  const document = parsed(text)
  refuseOthers(document, members)
  if (document.Version !== undefined && !versions.includes(document.Version as string)) {
    throw malformed('The policy must contain a valid version string')
  }
  const statements = Array.isArray(document.Statement) ? document.Statement : [document.Statement]
  if (document.Statement === undefined || statements.length === 0) throw malformed('Syntax errors in policy.')
  const sids = new Set<unknown>()
  return statements.map((each: unknown) => {
    const statement = objectOf(each)
    const { Sid: sid } = statement
    if (sid !== undefined && (typeof sid !== 'string' || (kind === 'identity' && !/^[A-Za-z0-9]*$/.test(sid)))) {
      throw malformed(
        `Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*`,
      )
    }
    if (sid && sids.has(sid)) throw malformed('Statement IDs (SID) in a single policy must be unique.')
    sids.add(sid)
    return readStatement(statement, kind)
  })
}

function readStatement(statement: Json, kind: PolicyUse['kind']): Statement {
  refuseOthers(statement, statementMembers)
  const { Effect: effect } = statement
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed('Syntax errors in policy.')
  const actions = oneOf(statement, 'Action', 'NotAction')
  if (!actions) throw malformed('Policy statement must contain actions.')
  for (const action of actions) checkAction(action, kind)
  if (kind === 'identity') checkResources(statement)
  else checkTrusted(statement)
  const { Principal: principal, NotPrincipal: notPrincipal } = statement
  return {
    effect,
    actions: texts(statement.Action),
    notActions: texts(statement.NotAction),
    principals: principal === undefined ? undefined : readPrincipals(principal),
    notPrincipals: notPrincipal === undefined ? undefined : readPrincipals(notPrincipal),
    conditions: readConditions(statement.Condition),
  }
}

function checkAction(action: string, kind: PolicyUse['kind']): void {
  if (kind === 'trust') {
    if (/^sts:/i.test(action)) return
    throw malformed('AssumeRole policy may only specify STS AssumeRole actions.')
  }
  if (action === '*' || actionShape.test(action)) return
  throw malformed(
    action.includes(':')
      ? `The action ${action.slice(0, 100)} is invalid.`
      : 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.',
  )
}

function checkResources(statement: Json): void {
  if (statement.Principal !== undefined || statement.NotPrincipal !== undefined) {
    throw malformed('Policy document should not specify a principal.')
  }
  const resources = oneOf(statement, 'Resource', 'NotResource')
  if (!resources) throw malformed('Policy statement must contain resources.')
  for (const resource of resources) {
    if (resource !== '*' && !resourceShape.test(resource)) {
      throw malformed(`Resource ${resource.slice(0, 100)} must be in ARN format or "*".`)
    }
  }
}

function checkTrusted(statement: Json): void {
  if (statement.Resource !== undefined || statement.NotResource !== undefined) {
    throw malformed('Has prohibited field Resource')
  }
  const { Principal: principal, NotPrincipal: notPrincipal } = statement
  if ((principal === undefined) === (notPrincipal === undefined)) throw malformed('Missing required field Principal')
}

function readPrincipals(value: unknown): Principals {
  if (value === '*') return '*'
  const read: Record<string, readonly string[]> = {}
  for (const [type, names] of Object.entries(objectOf(value))) {
    if (!principalTypes.has(type)) throw malformed(`Invalid principal in policy: "${type.slice(0, 32)}"`)
    const all = texts(names)
    if (!all?.length) throw malformed('Syntax errors in policy.')
    for (const name of all) checkPrincipal(type, name)
    read[type] = all
  }
  if (Object.keys(read).length === 0) throw malformed('Missing required field Principal cannot be empty!')
  return read
}

function checkPrincipal(type: string, name: string): void {
  const isRight =
    type === 'AWS' ? awsPrincipalShape.test(name) : type === 'Service' ? servicePrincipalShape.test(name) : name !== ''
  if (isRight) return
  throw malformed(
    `Invalid principal in policy: "${type === 'AWS' ? type : type.toUpperCase()}":"${name.slice(0, 128)}"`,
  )
}

function readConditions(value: unknown): Statement['conditions'] {
  if (value === undefined) return {}
  const operators = Object.entries(objectOf(value)).map(([operator, keys]) => {
    if (!operatorShape.test(operator)) throw malformed(`Invalid Condition type : ${operator.slice(0, 64)}.`)
    const read = Object.entries(objectOf(keys)).map(([key, values]) => {
      const all = Array.isArray(values) ? values : [values]
      const isRight = all.every((each) => ['string', 'number', 'boolean'].includes(typeof each))
      if (!isRight) throw malformed('Syntax errors in policy.')
      return [key, all.map(String)] as const
    })
    return [operator, Object.fromEntries(read)] as const
  })
  return Object.fromEntries(operators)
}

/** The texts of whichever of the two is there. */
function oneOf(statement: Json, name: string, otherName: string): string[] | undefined {
  if (statement[name] !== undefined && statement[otherName] !== undefined) throw malformed('Syntax errors in policy.')
  const found = texts(statement[name] ?? statement[otherName])
  if (found?.length === 0) throw malformed('Syntax errors in policy.')
  return found
}

/** One text or a list of them. */
function texts(value: unknown): string[] | undefined {
  if (value === undefined) return undefined
  const all = Array.isArray(value) ? value : [value]
  if (all.every((each) => typeof each === 'string')) return all
  throw malformed('Syntax errors in policy.')
}

function parsed(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed('This policy contains invalid Json')
  }
  return objectOf(value)
}

function objectOf(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw malformed('Syntax errors in policy.')
}

function refuseOthers(value: Json, known: ReadonlySet<string>): void {
  if (Object.keys(value).some((name) => !known.has(name))) throw malformed('Syntax errors in policy.')
}

function malformed(message: string): KilnError {
  return new KilnError('MalformedPolicyDocument', message)
}
