import { expect, test } from 'vitest'
import { readToken, writeToken } from './direct-tokens.ts'

const bound = ['block', 'eu-west-1', 'snap-1', 'hash']
const claim = { expiresAtMs: Date.UTC(2026, 10, 24), blockIndex: 134_217_727 }

test('a token is of the form that AWS gives, and says what was put in', () => {
  const token = writeToken(bound, claim)
  expect(token).toMatch(/^[A-Za-z0-9+/=]{1,256}$/)
  expect(readToken(bound, token, claim.expiresAtMs)).toEqual(claim)
})

test('a token that is too old, was changed, or is for something else is none', () => {
  const token = writeToken(bound, claim)
  expect(readToken(bound, token, claim.expiresAtMs + 1)).toBeUndefined()
  expect(readToken(['block', 'eu-west-1', 'snap-1', 'other'], token, 0)).toBeUndefined()
  expect(readToken(['page', ...bound.slice(1)], token, 0)).toBeUndefined()
  for (const place of [0, 5, 20, 47]) {
    const changed = `${token.slice(0, place)}${token[place] === 'x' ? 'y' : 'x'}${token.slice(place + 1)}`
    expect(readToken(bound, changed, 0)).toBeUndefined()
  }
  for (const odd of ['', token.slice(1), `${token}AAAA`, ` ${token}`, 'é'])
    expect(readToken(bound, odd, 0)).toBeUndefined()
})
