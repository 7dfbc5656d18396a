import { expect, test } from 'vitest'
import { accountCaller } from '../../cloud/identity/callers.ts'
import { KilnError } from '../../lib/errors.ts'
import type { KeyLookup } from '../signature/verification.ts'
import { callerOfKey } from './accounts.ts'

const owner = '111122223333'
const use = { sessionToken: undefined, service: 'ec2', region: 'eu-west-1' }
const user = { ...accountCaller(owner), kind: 'user' as const, userId: 'AIDAUSER' }
const lookupKey: KeyLookup = async (id) =>
  id === 'AKIAISSUED' ? { secret: 's', accountId: owner, caller: user } : undefined
const nobody = { guest: undefined, refusal: 'AuthFailure' } as const

test.each([
  ['an account', '444455556666', accountCaller('444455556666')],
  ['whoever it was issued to', 'AKIAISSUED', user],
  ['the default account, for any other', 'AKIAOTHER', accountCaller('000000000000')],
])('a key means %s', async (_, id, caller) => {
  expect(await callerOfKey(id, use, { lookupKey }, nobody)).toEqual(caller)
})

test('a guest is its owner, or a user of its owner, and nobody else', async () => {
  const ofGuest = (id: string, accountId: string) =>
    callerOfKey(id, use, { lookupKey }, { guest: { instanceId: 'i-1', accountId }, refusal: 'AccessDenied' })
  expect(await ofGuest('AKIAISSUED', owner)).toEqual(user)
  expect(await ofGuest(owner, owner)).toEqual(accountCaller(owner))
  await expect(ofGuest('AKIAISSUED', '999900001111')).rejects.toMatchObject({ code: 'AccessDenied' })
  await expect(ofGuest('AKIAOTHER', owner)).rejects.toMatchObject({ code: 'AccessDenied' })
})

test('what was issued and is past its time is told, and taken for nothing else', async () => {
  const expired: KeyLookup = async () => {
    throw new KilnError('ExpiredToken', 'over')
  }
  await expect(callerOfKey('ASIAOVER', use, { lookupKey: expired }, nobody)).rejects.toMatchObject({
    code: 'ExpiredToken',
  })
})
