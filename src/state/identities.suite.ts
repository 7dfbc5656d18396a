/** What the state promises of users, roles, policies and instance profiles. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { Identity, IdentityChoice } from './identities.ts'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'

export function identityTests(state: () => State): void {
  describe('identities', () => {
    const listed = async (choice: IdentityChoice, accountId = account) =>
      (await state().identities.list(accountId, choice)).items.map((row) => row.id)

    test('have one name each in their account, whatever its case', async () => {
      const { identities } = state()
      await identities.insert(identity('AIDA1', { name: 'Ann', nameKey: 'ann' }))
      await expect(identities.insert(identity('AIDA2', { name: 'ANN', nameKey: 'ann' }))).rejects.toThrow()
      await identities.insert(identity('AROA1', { kind: 'role', name: 'Ann', nameKey: 'ann' }))
      await identities.insert(identity('AIDA3', { accountId: other, name: 'ann', nameKey: 'ann' }))
      expect((await identities.named(account, 'user', 'aNN'))?.id).toBe('AIDA1')
      expect(await identities.count(account, { kind: 'user' })).toBe(1)
    })

    test('are found by path, page by page', async () => {
      const { identities } = state()
      await identities.insert(identity('AIDA1', { path: '/a_b/', createdAt: 3 }))
      await identities.insert(identity('AIDA2', { path: '/aXb/', createdAt: 2 }))
      await identities.insert(identity('AIDA3', { path: '/a_b/c/', createdAt: 1 }))
      expect(await listed({ kind: 'user', pathPrefix: '/a_b/' })).toEqual(['AIDA3', 'AIDA1'])
      const first = await identities.list(account, { kind: 'user' }, { limit: 2 })
      expect(first.items.map((row) => row.id)).toEqual(['AIDA3', 'AIDA2'])
      const second = await identities.list(account, { kind: 'user' }, { limit: 2, after: first.next! })
      expect([second.items.map((row) => row.id), second.next]).toEqual([['AIDA1'], null])
    })

    test('are found by what they belong to, and by the policies that they have', async () => {
      const { identities, identityPolicies } = state()
      const arn = `arn:aws:iam::${account}:policy/p/own`
      await identities.insert(identity('ANPA1', { kind: 'policy', name: 'own', nameKey: 'own', path: '/p/' }))
      await identities.insert(identity('ANPA2', { kind: 'policy', name: 'idle', nameKey: 'idle' }))
      await identities.insert(identity('AGPA1', { kind: 'group' }))
      await identities.insert(identity('AIDA1', { permissionsBoundary: arn }))
      await identities.insert(identity('AROA1', { kind: 'role' }))
      await identities.insert(identity('AIPA1', { kind: 'instance-profile', roleId: 'AROA1' }))
      await identities.addMember('AGPA1', 'AIDA1')
      await identities.addMember('AGPA1', 'AIDA1')
      expect(await listed({ kind: 'user', memberOf: 'AGPA1' })).toEqual(['AIDA1'])
      expect(await listed({ kind: 'group', withMember: 'AIDA1' })).toEqual(['AGPA1'])
      expect(await listed({ kind: 'instance-profile', roleId: 'AROA1' })).toEqual(['AIPA1'])
      expect(await listed({ kind: 'policy', isAttached: true })).toEqual([])
      await identityPolicies.attach('AROA1', arn, 1)
      await identityPolicies.attach('AROA1', arn, 2)
      expect(await listed({ kind: 'role', withPolicy: arn })).toEqual(['AROA1'])
      expect(await listed({ kind: 'policy', isAttached: true })).toEqual(['ANPA1'])
      expect(await listed({ kind: 'policy', isBoundary: true })).toEqual(['ANPA1'])
      expect(await listed({ kind: 'user', boundedBy: arn })).toEqual(['AIDA1'])
      expect((await identityPolicies.attachmentCounts(account, [arn])).get(arn)).toBe(1)
      expect((await identityPolicies.attachmentCounts(other, [arn])).get(arn)).toBeUndefined()
      expect((await identityPolicies.boundaryCounts(account, [arn])).get(arn)).toBe(1)
      expect(await identityPolicies.detach('AROA1', arn)).toBe(true)
      expect(await identityPolicies.detach('AROA1', arn)).toBe(false)
      await identities.removeMember('AGPA1', 'AIDA1')
      expect(await listed({ kind: 'user', memberOf: 'AGPA1' })).toEqual([])
    })

    test('have policies of their own, which are replaced by name, and versions, newest first', async () => {
      const { identityPolicies } = state()
      await identityPolicies.putInline({ identityId: 'AROA1', name: 'b', document: '1' })
      await identityPolicies.putInline({ identityId: 'AROA1', name: 'a', document: '2' })
      await identityPolicies.putInline({ identityId: 'AROA1', name: 'b', document: '3' })
      const documents = (await identityPolicies.inline('AROA1')).map(({ name, document }) => name + document)
      expect(documents).toEqual(['a2', 'b3'])
      expect(await identityPolicies.removeInline('AROA1', 'a')).toBe(true)
      expect(await identityPolicies.removeInline('AROA1', 'a')).toBe(false)
      for (const version of [1, 2, 3]) {
        await identityPolicies.insertVersion({ policyId: 'ANPA1', version, document: '{}', createdAt: version })
      }
      await identityPolicies.removeVersions('ANPA1', 2)
      expect((await identityPolicies.versions('ANPA1')).map(({ version }) => version)).toEqual([3, 1])
      await identityPolicies.removeVersions('ANPA1')
      expect(await identityPolicies.versions('ANPA1')).toEqual([])
    })

    test('an alias is of one account', async () => {
      const { identities } = state()
      await identities.setAlias(account, 'a')
      await identities.setAlias(account, 'b')
      expect([await identities.alias(account), await identities.accountOfAlias('a')]).toEqual(['b', undefined])
      await expect(identities.setAlias(other, 'b')).rejects.toThrow()
      await identities.setAlias(account, null)
      expect(await identities.alias(account)).toBeUndefined()
    })

    test('an instance has one profile', async () => {
      const { instanceProfileAssociations: associations } = state()
      await associations.insert([association('iip-assoc-1', 'i-1')])
      await expect(associations.insert([association('iip-assoc-2', 'i-1')])).rejects.toThrow()
      expect((await associations.of(['i-1', 'i-2'])).map((row) => row.id)).toEqual(['iip-assoc-1'])
      // Nobody sees one of an instance that is not there.
      expect((await associations.list(region, { accountId: account })).items).toEqual([])
      await associations.remove('iip-assoc-1')
      expect(await associations.get('iip-assoc-1')).toBeUndefined()
    })
  })
}

function identity(id: string, about: Partial<Identity> = {}): Identity {
  return {
    ...{ id, accountId: account, kind: 'user', name: id, nameKey: id.toLowerCase(), path: '/', description: null },
    ...{ trustPolicy: null, maxSessionSeconds: null, permissionsBoundary: null, lastUsedAt: null, roleId: null },
    ...{ lastUsedRegion: null, defaultVersion: null, versionsMade: null, createdAt: 1, updatedAt: 1 },
    ...about,
  }
}

const association = (id: string, instanceId: string) => ({
  ...{ id, accountId: account, region, instanceId, profileId: 'AIPA1', profileArn: 'arn', profileName: 'p' },
  createdAt: 1,
})
