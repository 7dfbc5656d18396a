/**
 * Whether a role's trust policy lets somebody assume it. A denial wins over any permission. Source: "Policy evaluation
 * logic" and "IAM JSON policy elements: Condition operators" in the IAM user guide.
 */
import { matchesWildcards } from '../../lib/wildcards.ts'
import type { Caller } from './callers.ts'
import { arnOf } from './names.ts'
import { type Principals, readPolicy, type Statement } from './policy-documents.ts'

/** A caller, or a service that acts for itself: `ec2.amazonaws.com`. */
export type Truster = { caller: Caller } | { service: string }

export interface TrustRequest {
  who: Truster
  /** `sts:AssumeRole` */
  action: string
  /** What conditions may look at; keys in lower case. What is not there is absent. */
  facts: Readonly<Record<string, string | undefined>>
}

export function isTrusted(policy: string, request: TrustRequest): boolean {
  const applying = readPolicy(policy, 'trust').filter((statement) => applies(statement, request))
  return applying.some(({ effect }) => effect === 'Allow') && !applying.some(({ effect }) => effect === 'Deny')
}

function applies(statement: Statement, request: TrustRequest): boolean {
  const { actions, notActions, principals, notPrincipals, effect } = statement
  const names = (list: readonly string[]) =>
    list.some((pattern) => matchesWildcards(pattern.toLowerCase(), request.action.toLowerCase()))
  if (actions ? !names(actions) : names(notActions ?? [])) return false
  if (principals ? !isAmong(principals, request.who) : isAmong(notPrincipals ?? {}, request.who)) return false
  const met = conditionsMet(statement.conditions, request.facts)
  // What cannot be judged here must not open a door.
  return met === 'unknown' ? effect === 'Deny' : met
}

function isAmong(principals: Principals, who: Truster): boolean {
  if ('service' in who) return principals !== '*' && (principals.Service ?? []).includes(who.service)
  if (principals === '*') return true
  return (principals.AWS ?? []).some((name) => isCaller(name, who.caller))
}

function isCaller(name: string, { accountId, arn, identity, kind }: Caller): boolean {
  const names = ['*', accountId, `arn:aws:iam::${accountId}:root`, arn]
  // A session of a role is that role too; a federated user is not the user who vouched.
  if (identity && kind !== 'federated') names.push(arnOf(identity), identity.id)
  return names.includes(name)
}

type Met = boolean | 'unknown'

function conditionsMet(conditions: Statement['conditions'], facts: TrustRequest['facts']): Met {
  let all: Met = true
  for (const [operator, keys] of Object.entries(conditions)) {
    for (const [key, values] of Object.entries(keys)) {
      const met = conditionMet(operator, factOf(facts, key.toLowerCase()), values)
      if (met === false) return false
      if (met === 'unknown') all = 'unknown'
    }
  }
  return all
}

const factOf = (facts: TrustRequest['facts'], key: string) => (Object.hasOwn(facts, key) ? facts[key] : undefined)

/** Of one value with one pattern. Variables (`${aws:username}`) are not filled in: such a text matches itself alone. */
const comparisons: Readonly<Record<string, (fact: string, value: string) => boolean>> = {
  StringEquals: (fact, value) => fact === value,
  StringEqualsIgnoreCase: (fact, value) => fact.toLowerCase() === value.toLowerCase(),
  StringLike: (fact, value) => matchesWildcards(value, fact),
  ArnEquals: (fact, value) => matchesWildcards(value, fact),
  ArnLike: (fact, value) => matchesWildcards(value, fact),
  Bool: (fact, value) => fact === value.toLowerCase(),
  DateEquals: (fact, value) => Date.parse(fact) === Date.parse(value),
  DateLessThan: (fact, value) => Date.parse(fact) < Date.parse(value),
  DateLessThanEquals: (fact, value) => Date.parse(fact) <= Date.parse(value),
  DateGreaterThan: (fact, value) => Date.parse(fact) > Date.parse(value),
  DateGreaterThanEquals: (fact, value) => Date.parse(fact) >= Date.parse(value),
}

function conditionMet(operator: string, fact: string | undefined, values: readonly string[]): Met {
  const [, set, base, ifExists] = /^(ForAllValues:|ForAnyValue:)?(.+?)(IfExists)?$/.exec(operator)!
  if (base === 'Null') return values.some((value) => (value.toLowerCase() === 'true') === (fact === undefined))
  const isNegated = base!.includes('Not')
  const compare = comparisons[base!.replace('Not', '')]
  if (!compare) return 'unknown'
  if (fact === undefined) return ifExists !== undefined || isNegated || set === 'ForAllValues:'
  return values.some((value) => compare(fact, value)) !== isNegated
}
