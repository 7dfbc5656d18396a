import { describe, expect, test } from 'vitest'
import type { Identity } from '../../state/identities.ts'
import { accountCaller, federatedCaller, roleCaller, userCaller } from './callers.ts'
import { isTrusted, type Truster } from './trust.ts'

const account = '111122223333'
const identity = (kind: Identity['kind'], id: string, name: string): Identity => ({
  ...{ id, accountId: account, kind, name, nameKey: name, path: '/p/', description: null, trustPolicy: null },
  ...{ maxSessionSeconds: null, permissionsBoundary: null, lastUsedAt: null, lastUsedRegion: null, roleId: null },
  ...{ defaultVersion: null, versionsMade: null, createdAt: 0, updatedAt: 0 },
})
const user = identity('user', 'AIDA11111111111111111', 'ann')
const role = identity('role', 'AROA11111111111111111', 'web')
const ann = userCaller(user, false)
const session = roleCaller(role, 's1')

const policy = (...statements: object[]) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: statements.map((more) => ({ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: '*', ...more })),
  })
const trusts = (text: string, who: Truster, facts: Record<string, string> = {}, action = 'sts:AssumeRole') =>
  isTrusted(text, { who, action, facts })

describe('principals', () => {
  test.each([
    ['*', ann, true],
    [account, ann, true],
    ['444455556666', ann, false],
    [`arn:aws:iam::${account}:root`, accountCaller(account), true],
    [`arn:aws:iam::${account}:root`, session, true],
    [`arn:aws:iam::${account}:user/p/ann`, ann, true],
    [`arn:aws:iam::${account}:user/ann`, ann, false],
    [user.id, ann, true],
    [`arn:aws:iam::${account}:user/p/ann`, accountCaller(account), false],
    [`arn:aws:iam::${account}:role/p/web`, session, true],
    [`arn:aws:sts::${account}:assumed-role/web/s1`, session, true],
    [`arn:aws:sts::${account}:assumed-role/web/s2`, session, false],
    [`arn:aws:iam::${account}:user/p/ann`, federatedCaller(account, 'f', user), false],
    [`arn:aws:sts::${account}:federated-user/f`, federatedCaller(account, 'f', user), true],
  ])('%s', (name, caller, expected) => {
    expect(trusts(policy({ Principal: { AWS: [name] } }), { caller })).toBe(expected)
    expect(trusts(policy({ Principal: undefined, NotPrincipal: { AWS: name } }), { caller })).toBe(!expected)
  })

  test('services are for services alone', () => {
    const text = policy({ Principal: { Service: ['ec2.amazonaws.com'] } })
    expect(trusts(text, { service: 'ec2.amazonaws.com' })).toBe(true)
    expect(trusts(text, { service: 'lambda.amazonaws.com' })).toBe(false)
    expect(trusts(text, { caller: accountCaller(account) })).toBe(false)
    expect(trusts(policy({}), { service: 'ec2.amazonaws.com' })).toBe(false)
  })
})

test('actions are named, with wildcards, in any case', () => {
  const may = (Action: string | string[], action?: string) => trusts(policy({ Action }), { caller: ann }, {}, action)
  expect([may('sts:*'), may('STS:assumerole'), may(['sts:TagSession']), may('sts:Assume????')]).toEqual([
    ...[true, true, false, true],
  ])
  expect(may('sts:TagSession', 'sts:TagSession')).toBe(true)
})

describe('conditions', () => {
  const facts = { 'sts:externalid': 'x1', 'aws:currenttime': '2026-01-02T00:00:00Z' }
  test.each<[condition: object, expected: boolean]>([
    [{ StringEquals: { 'sts:ExternalId': ['x0', 'x1'] } }, true],
    [{ StringEquals: { 'sts:ExternalId': 'X1' } }, false],
    [{ StringEqualsIgnoreCase: { 'STS:EXTERNALID': 'X1' } }, true],
    [{ StringNotEquals: { 'sts:ExternalId': 'x1' } }, false],
    [{ StringNotEquals: { 'aws:Absent': 'x1' } }, true],
    [{ StringLike: { 'sts:ExternalId': 'x?' } }, true],
    [{ StringEquals: { 'aws:Absent': 'x1' } }, false],
    [{ StringEqualsIfExists: { 'aws:Absent': 'x1' } }, true],
    [{ Null: { 'sts:ExternalId': 'false', 'aws:Absent': 'true' } }, true],
    [{ Null: { 'sts:ExternalId': 'true' } }, false],
    [{ DateGreaterThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' } }, true],
    [{ DateLessThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' } }, false],
    [{ StringEquals: { 'sts:ExternalId': 'x1' }, Bool: { 'aws:SecureTransport': 'true' } }, false],
    [{ NumericEquals: { 'aws:MultiFactorAuthAge': '1' } }, false],
    [{ StringEquals: { __proto__x: 'x', constructor: 'x' } }, false],
  ])('%j', (Condition, expected) => {
    expect(trusts(policy({ Condition }), { caller: ann }, facts)).toBe(expected)
  })

  test('what cannot be judged denies, and permits nothing', () => {
    const Condition = { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } }
    expect(trusts(policy({ Condition }), { caller: ann })).toBe(false)
    expect(trusts(policy({}, { Effect: 'Deny', Condition }), { caller: ann })).toBe(false)
    expect(trusts(policy({}, { Effect: 'Deny', Action: 'sts:TagSession' }), { caller: ann })).toBe(true)
  })
})
